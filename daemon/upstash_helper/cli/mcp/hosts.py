"""
Programs that run whatever they are told to: terminals, build tools, debuggers, some editors, and interpreters whose
scripts are not looked for. Two agents can have the same one, so it is not certain which agent it is.

A list is never complete. A program that is missing here counts as one agent, whatever it runs.
"""

from __future__ import annotations

import re
from typing import Final

from upstash_helper.system.starters import name_of

_INTERPRETERS: Final = """
    autohotkey awk babashka bb beam.smp cjs clisp clojure cscript d8 dart ecl elixir erl escript expect gawk gjs
    gjs-console graalpy groovy guile hhvm iex ipython jsc jshell kotlin llrt matlab mawk micropython mono
    mono-sgen mshta nawk ocaml octave osascript php-cgi php-fpm qjs quickjs r racket raku rakudo rscript rundll
    sbcl scala swift swift-frontend tcl tclsh texlua tjs unbuffer wasmedge wasmer wasmtime wscript
"""
_SHELLS: Final = "csh elvish es murex oils osh rc tcsh xonsh yash ysh"
_TERMINALS: Final = """
    alacritty conhost contour dtach foot ghostty gnome-terminal guake hyper iterm kgx kitty konsole login
    lxterminal mate-terminal mintty mosh-server openconsole ptyxis ptyxis-agent rio rxvt screen script sshd
    sshd-session st tabby terminal terminator terminology tilix tmux ttyd urxvt warp warp-terminal wezterm
    wezterm-gui wezterm-mux-server windowsterminal wt xfce4-terminal xterm yakuake zellij
"""
_RUNNERS: Final = """
    anacron asdf at atd bazel bwrap cargo catchsegv cmake conmon containerd-shim cron crond crun dbus-daemon
    direnv distrobox doas docker entr find firejail flatpak gdb git gmake go hg just lldb ltrace make mise ninja
    nix nix-shell nsenter parallel perf podman prlimit proot rr runc runsv runuser strace su sudo supervisord
    task time unshare valgrind watch watchexec xargs
"""
_DESKTOPS: Final = "dock dwm explorer finder gnome-shell i3 krunner kwin_wayland plasmashell rofi sway wofi"
_EDITORS: Final = "kak nvim vi view"
_NAMES: Final = frozenset(
    name for names in (_INTERPRETERS, _SHELLS, _TERMINALS, _RUNNERS, _DESKTOPS, _EDITORS) for name in names.split()
)
# The loader of Linux can be given the program as an argument, and so can emulators.
_PREFIXES: Final = re.compile(r"(?:emacs|gnome-terminal-|ld-|ld\.|ld64\.|qemu-|rosetta|vim|wine|box64|box86|fex)")
_SCRIPTS: Final = """
    bunx celery corepack flask gunicorn hatch invoke ipython jupyter mcp-inspector nodemon nox npm npm-cli npx
    npx-cli pdm pm2 pnpm pnpx poetry pytest streamlit tox ts-node tsx uvicorn xonsh yarn yarnpkg
"""
_SUFFIX: Final = re.compile(r"\.(?:[cm]?js|[cm]?ts|py|rb|pl|php)$")
_VERSION: Final = re.compile(r"[-.\d]*\dt?$")


def is_host(executable: str) -> bool:
    """Return whether the file of a program is that of one that runs others."""
    name = name_of(executable)
    return name in _NAMES or _VERSION.sub("", name) in _NAMES or _PREFIXES.match(name) is not None


def is_host_script(script: str) -> bool:
    """Return whether the script of an interpreter runs others."""
    return _SUFFIX.sub("", name_of(script)) in _SCRIPTS.split()
