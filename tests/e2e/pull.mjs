/*
 * A replica of a user's documents: PouchDB pulls them, live, into memory.
 *
 *   node pull.mjs URL TOKEN
 *
 * Prints a JSON line for each change that arrived, {"id", "rev", "deleted"};
 * for each line on standard input, a document's id, what the replica has.
 */
import readline from 'node:readline';
import PouchDB from 'pouchdb-core';
import http from 'pouchdb-adapter-http';
import memory from 'pouchdb-adapter-memory';
import replication from 'pouchdb-replication';

PouchDB.plugin(http).plugin(memory).plugin(replication);

const [url, token] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));

const remote = new PouchDB(url, {
  skip_setup: true,
  fetch: (address, options) => {
    options.headers.set('Authorization', 'Bearer ' + token);
    return PouchDB.fetch(address, options);
  },
});
const local = new PouchDB('replica', { adapter: 'memory' });

local.changes({ live: true, since: 0 }).on('change', (change) =>
  say({ id: change.id, rev: change.changes[0].rev, deleted: change.deleted === true }));
local.replicate.from(remote, { live: true, retry: true, back_off_function: () => 100 })
  .on('error', (error) => { say({ error: String(error) }); process.exit(1); });

readline.createInterface({ input: process.stdin }).on('line', async (id) => {
  try {
    const doc = await local.get(id, { conflicts: true });
    say({ got: id, doc });
  } catch (error) {
    say({ got: id, status: error.status, reason: error.reason });
  }
}).on('close', () => process.exit(0));
