"""From the state to what the user sees: icon, tooltip, notifications, and safe display text."""
