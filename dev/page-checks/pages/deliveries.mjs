// Deliveries: a file that failed is found, explained, mended, retried by keyboard alone and seen complete; replayed; all that
// failed retried at once; data that would break a page; downloads; what a key may not.
import { readFileSync, rmSync } from 'node:fs';
import { check, until } from '../browser.mjs';
import { NASTY, sleep } from '../project.mjs';

const FAILED = '/deliveries?status=failed&app=fragile';

// The numbers of what is listed.
const listed = (page) => page.locator('#found tbody th a').allTextContents();

// Waits until a page's status is this, without loading it anew.
const becomes = (page, status) => until(`the page says ${status}`, async () => (await page.locator('h1 + .pill').textContent()).trim() === status);

// Goes on by Tab until the control with this name has the focus.
async function tabTo(page, name) {
  for (let press = 0; press < 120; press += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim());
    if (at === name) return;
  }
  throw new Error(`no Tab leads to ${name}`);
}

// The record of this status that the command lists first.
const first = (kit, ...words) => JSON.parse(kit.project.command('list', '--json', ...words))[0];

export default {
  async 'a failed file is found, explained, mended, retried by keyboard, and seen complete'(kit) {
    const page = await kit.browser.login(kit, 'operate');
    await page.goto(`${kit.url}/deliveries`);
    await page.getByLabel('Number, file').fill('red');
    await page.getByRole('checkbox', { name: 'failed' }).check();
    await page.getByRole('button', { name: 'Search' }).click();
    const [id] = await listed(page);
    check(id, 'the text of the error finds it');
    await page.locator('#found tbody th a').first().click();
    const said = await page.getByRole('region', { name: 'Why' }).textContent();
    const why = JSON.parse(kit.project.command('why', id, '--json'));
    check(said.includes(why.sentences[0].split('\n')[0].slice(0, 40)), `the sentence of why: ${said}`);
    check(said.includes('<script>alert(2)</script>') && said.includes('␛[31m'), `the error is text: ${said}`);
    check((await page.locator('#delivery').textContent()).includes('⟨U+202E⟩'), 'what turns text around is seen');
    kit.project.write('mended', '');
    try {
      await page.evaluate(() => window.scrollTo(0, 0));
      await tabTo(page, 'Retry…');
      await page.keyboard.press('Enter');
      await page.waitForURL(/\/retry$/);
      check((await page.locator('main').textContent()).includes('with its one attempt'), 'the effect is said before');
      await tabTo(page, 'Retry');
      await page.keyboard.press('Enter');
      await page.waitForURL(/done=retry/);
      await becomes(page, 'completed');
    } finally {
      rmSync(kit.project.path('mended'));
    }
    const history = JSON.parse(kit.project.command('show', id, '--json')).history;
    check(history.some((entry) => entry.actor.startsWith('page:') && entry.from === 'failed'), 'the audit says that it was a page');
    kit.browser.calm(page);
  },

  async 'what is replayed is a new delivery, and a second answer to the same question makes no other'(kit) {
    const page = await kit.browser.login(kit, 'operate');
    const old = first(kit, '--app', 'prices');
    await page.goto(`${kit.url}/deliveries/${old.id}`);
    await page.getByRole('link', { name: 'Replay as new' }).click();
    check((await page.locator('main').textContent()).includes('file-exporter exports once more'), 'the exports are said');
    const newest = await page.locator('input[name=newest]').inputValue();
    await page.getByRole('button', { name: 'Replay as new' }).click();
    await page.waitForURL(/done=replay/);
    const made = new URL(page.url()).pathname;
    check(made !== `/deliveries/${old.id}`, 'it leads to the new one');
    const again = await page.request.post(`${kit.url}/deliveries/${old.id}/replay`, { form: { newest }, headers: { origin: kit.url } });
    check(new URL(again.url()).pathname === made, `the same question is answered once: ${again.url()}`);
    await page.goto(`${kit.url}/deliveries/${old.id}`);
    check((await page.locator('#family').textContent()).includes('run again as'), 'the old one says so');
    kit.browser.calm(page);
  },

  async 'all that failed is retried at once, after the page has said how many'(kit) {
    const page = await kit.browser.login(kit, 'operate');
    await page.goto(kit.url + FAILED);
    const before = (await listed(page)).length;
    check(before > 1, 'several failed');
    await page.getByRole('link', { name: 'Retry all that failed' }).click();
    check((await page.locator('main').textContent()).includes(`${before} failed deliveries`), 'how many, before');
    await page.getByRole('button', { name: `Retry ${before}` }).click();
    check((await page.getByRole('status').first().textContent()).length >= 0, 'it answers');
    check((await page.locator('main').textContent()).includes(`${before} wait again`), 'how many, after');
    await until('they failed again', async () => {
      await page.goto(kit.url + FAILED);
      return (await listed(page)).length === before;
    });
    kit.browser.calm(page);
  },

  async 'data that would break a page is text, and is downloaded as it is'(kit) {
    kit.project.drop('nasty.csv', [[71, `"${NASTY.replaceAll('"', '""')}"`], [72, 3], [73, 4], [74, 5], [75, '\x1b[2J\u202egpj']]);
    const arrived = await until('it was imported', () => JSON.parse(kit.project.command('list', '--json', '--app', 'validator', '--limit', '5', '--status', 'completed')).find((one) => one.data.original?.path?.endsWith('nasty.csv')));
    const page = await kit.browser.login(kit, 'read');
    await page.goto(`${kit.url}/deliveries/${arrived.id}`);
    const text = await page.locator('main').textContent();
    check(text.includes('<script>alert(2)</script>') && text.includes('␛[2J') && text.includes('⟨U+202E⟩gpj'), 'cells are text');
    check(text.includes('Rejected rows') && text.includes('is not a number'), `rejected rows have reasons`);
    check(await page.getByRole('link', { name: 'Retry' }).count() === 0, 'who may only look has no buttons');
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download' }).first().click()]);
    check(readFileSync(await download.path(), 'utf8') === kit.project.read('incoming/nasty.csv'), 'the bytes are those of the file');
    await page.getByRole('link', { name: 'Check the checksum' }).click();
    check((await page.locator('main').textContent()).includes('size and checksum agree'), 'the checksum is computed');
    kit.browser.calm(page);
  },

  async 'a key of one app sees that app alone'(kit) {
    const page = await kit.browser.login(kit, 'stock');
    await page.goto(`${kit.url}/deliveries`);
    const rows = await page.locator('#found tbody tr').allTextContents();
    check(rows.length > 0 && rows.every((row) => row.includes('stock')), `of stock alone: ${rows[0]}`);
    const other = first(kit, '--app', 'fragile');
    const answer = await page.goto(`${kit.url}/deliveries/${other.id}`);
    check(answer.status() === 404, 'another app\'s is not there');
    const file = await page.request.get(`${kit.url}/deliveries/${other.id}/file`);
    check(file.status() === 404, 'nor is its file');
    kit.browser.calm(page, ['404']);
  },

  async 'its pages hold what every page must'(kit) {
    const page = await kit.browser.login(kit, 'operate');
    const failed = first(kit, '--app', 'fragile', '--status', 'failed');
    const done = first(kit, '--app', 'validator', '--status', 'completed');
    await kit.browser.sound(page, '/deliveries');
    await kit.browser.sound(page, `/deliveries/${failed.id}`);
    await kit.browser.sound(page, `/deliveries/${done.id}`);
    await kit.browser.sound(page, `/deliveries/${failed.id}/retry`);
    await kit.browser.sound(page, '/deliveries/all/retry?app=fragile');
    await sleep(100);
  },
};
