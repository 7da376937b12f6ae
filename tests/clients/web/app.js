// The whole tool. <upstash-connect> lets the page in and connects the account; the client that it hands over does the
// rest.

const connect = document.querySelector('upstash-connect');
const find = (id) => document.getElementById(id);
let upstash;
let following;

connect.addEventListener('upstash-connected', ({ detail }) => start(detail.client));
connect.addEventListener('upstash-signed-out', stop);

async function start(client) {
  upstash = client;
  following = new AbortController();
  find('welcome').hidden = true;
  find('tool').hidden = false;
  // What others make or delete shows up here at once.
  const { signal } = following;
  upstash.events(({ type }) => { if (type === 'database') attempt(list); }, { signal }).catch(failed);
  await attempt(list);
  await attempt(offerRegions);
}

function stop() {
  following?.abort();
  find('welcome').hidden = false;
  find('tool').hidden = true;
  find('databases').replaceChildren();
}

async function list() {
  const databases = await upstash.databases.list();
  find('databases').replaceChildren(...databases.map(row));
  if (!databases.length) say('No databases yet. Make the first one.');
}

function row(database) {
  const item = find('row').content.cloneNode(true);
  item.querySelector('strong').textContent = database.name;
  item.querySelector('.quiet').textContent = `${database.primary_region} · ${database.plan}`;
  const button = item.querySelector('button');
  button.setAttribute('aria-label', `Credentials of ${database.name}`);
  button.addEventListener('click', () => attempt(() => show(database)));
  return item;
}

async function show(database) {
  const env = await upstash.databases.env(database.id);
  find('secrets-title').textContent = database.name;
  find('env').textContent = Object.entries(env).map(([name, value]) => `${name}=${value}`).join('\n');
  find('secrets').showModal();
}

async function offerRegions() {
  const regions = (await upstash.regions()).filter((region) => region.primary);
  const options = regions.map((region) => new Option(`${region.name} (${region.id})`, region.id));
  find('create').elements.region.replaceChildren(...options);
}

find('new').addEventListener('click', () => {
  find('create').hidden = false;
  find('create').elements.name.focus();
});

find('not-now').addEventListener('click', () => {
  find('create').hidden = true;
  find('new').focus();
});

find('create').addEventListener('submit', (event) => {
  event.preventDefault();
  const { name, region } = event.target.elements;
  attempt(async () => {
    say('Creating…');
    await upstash.databases.create({ name: name.value, primary_region: region.value });
    event.target.reset();
    event.target.hidden = true;
    await list();
    say(`Created ${name.value || 'it'}.`);
  });
});

find('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText(find('env').textContent);
  find('copy').textContent = 'Copied';
});
find('secrets').addEventListener('close', () => {
  find('env').textContent = '';
  find('copy').textContent = 'Copy';
});

async function attempt(work) {
  try {
    say('');
    await work();
  } catch (error) {
    failed(error);
  }
}

// Every error of connect.js has a sentence for a person, and most say what to do.
// One needs nothing here: after `token_revoked` the button is a button again, and says `upstash-signed-out`.
function failed(error) {
  if (error.code === 'aborted') return;
  say([error.message, error.help].filter(Boolean).join(' '));
}

function say(text) {
  find('notice').textContent = text;
}
