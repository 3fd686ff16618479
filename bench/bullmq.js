// BullMQ's rates: node bullmq.js PORT CLIENTS SECONDS -> "enqueues cycles" a second.
const { Queue, Worker } = require('bullmq');
const [port, clients, seconds] = process.argv.slice(2).map(Number);
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
const body = { solver: '0123456789abcdef0123456789abcdef', padding: '.'.repeat(190) };

async function main() {
  const queue = new Queue('bench', { connection });
  await queue.waitUntilReady();
  let start = Date.now(), put = 0;
  await Promise.all(Array.from({ length: clients }, async () => {
    while (Date.now() < start + 1000 * seconds) { await queue.add('job', body); put++; }
  }));
  const enqueues = put / ((Date.now() - start) / 1000);
  let done = 0;
  const worker = new Worker('bench', async () => { done++; }, { connection: { ...connection }, concurrency: clients, autorun: false });
  await worker.waitUntilReady();
  start = Date.now();
  worker.run();
  await new Promise((resolve) => {
    const end = () => { clearTimeout(timer); resolve(); };
    const timer = setTimeout(end, 1000 * seconds);
    worker.on('drained', end);
  });
  const cycles = done / ((Date.now() - start) / 1000);
  console.log(enqueues.toFixed(0), cycles.toFixed(0));
  process.exit(0);
}
main();
