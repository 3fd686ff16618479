// Drives the page of a bucket in the system's Chromium, a step a line of JSON on standard input:
//   {"goto": URL}  {"ask": URL}  {"forget": true}
//   {"see": TEXT, "progress": N, "state": WORD}   waits until a request shows that
//   {"problem": TEXT}  {"empty": true}            the same of the page
// and answers each with a line: {"ok": true}, or {"error": ...}.
//   node queue_page.mjs CHROMIUM PROFILE
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const PATIENCE_MS = 120000; // of a busy machine
const [executablePath, profile] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  timeout: PATIENCE_MS,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
context.setDefaultTimeout(PATIENCE_MS);
const page = context.pages()[0] ?? await context.newPage();
const faults = [];
page.on('pageerror', (error) => faults.push(String(error)));
page.on('console', (message) => { if (message.type() === 'error') faults.push(message.text()); });

const exactly = (text) => new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);

async function step(wanted) {
  if (wanted.goto) await page.goto(wanted.goto);
  if (wanted.ask) {
    await page.getByLabel('URL of a picture').fill(wanted.ask);
    await page.getByRole('button', { name: 'Ask' }).click();
  }
  if (wanted.see !== undefined) {
    const item = page.locator(`li[data-state="${wanted.state}"]`).filter({
      has: page.locator('.value', { hasText: exactly(wanted.see) }),
    });
    await item.waitFor();
    const progress = await item.locator('progress').evaluate((bar) => bar.value);
    if (progress !== wanted.progress) throw new Error(`the bar is at ${progress}`);
  }
  if (wanted.problem !== undefined)
    await page.getByRole('alert').filter({ hasText: wanted.problem }).waitFor();
  if (wanted.forget) await page.getByRole('button', { name: 'Forget' }).first().click();
  if (wanted.empty) await page.locator('#requests li').waitFor({ state: 'detached' });
  if (wanted.faults) return faults;
  return [];
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify({ ok: true, faults: await step(JSON.parse(line)) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
await context.close();
