// The page of a request queue: posts a picture's URL and shows what becomes of it, live.

const bucket = decodeURIComponent(location.pathname.split('/').pop());
const form = document.getElementById('ask');
const problem = document.getElementById('problem');
const requests = document.getElementById('requests');
const template = document.getElementById('request');
const shown = new Map(); // request id -> its element

document.getElementById('bucket').value = bucket;
document.title = `et: ${bucket}`;

async function post(url, create) {
  const reply = await fetch(`/${bucket}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ data_from_frontend: url, create_request: create }),
  });
  if (!reply.ok) throw new Error(`the server answers ${reply.status}`);
  const text = await reply.text();
  return text ? JSON.parse(text) : null;
}

function isOver(item) {
  return item.progress === 100 || item.canceled || item.error !== '';
}

function show(element, item) {
  element.querySelector('progress').value = item.progress;
  element.querySelector('.value').textContent = item.error || item.value;
  element.dataset.state = item.error || item.canceled ? 'failed' : isOver(item) ? 'done' : 'waiting';
}

// The stream comes back by itself when the server restarts; it begins with the item as it is.
function follow(element, item) {
  const events = new EventSource(`/${bucket}/events?request_id=${encodeURIComponent(item.request_id)}`);
  events.onmessage = (event) => {
    const now = JSON.parse(event.data);
    show(element, now);
    if (isOver(now)) events.close();
  };
  return () => events.close();
}

function add(url, item) {
  const element = template.content.firstElementChild.cloneNode(true);
  element.dataset.requestId = item.request_id;
  element.querySelector('.url').textContent = url;
  show(element, item);
  const stop = isOver(item) ? () => {} : follow(element, item);
  element.querySelector('.forget').addEventListener('click', async () => {
    stop();
    shown.delete(item.request_id);
    element.remove();
    await post(url, false).catch((error) => { problem.textContent = error.message; });
  });
  shown.set(item.request_id, element);
  requests.prepend(element);
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const url = form.elements.url.value.trim();
  const button = form.querySelector('button');
  problem.textContent = '';
  button.disabled = true;
  try {
    const item = await post(url, true);
    if (!item.request_id) problem.textContent = item.error;
    else if (!shown.has(item.request_id)) add(url, item);
  } catch (error) {
    problem.textContent = error.message;
  } finally {
    button.disabled = false;
  }
});
