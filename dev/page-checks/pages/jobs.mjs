// Jobs, the database and the files: a job is seen at work and cancelled; numbers lead to what makes them up.
import { check, until } from '../browser.mjs';

export default {
  async 'a job is seen at work, and cancelled'(kit) {
    const answer = await fetch(`${kit.url}/api/v1/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${kit.project.keys.admin}`, 'content-type': 'application/json' },
      body: JSON.stringify({ app: 'slow', config: {} }),
    });
    check(answer.status === 202, `submitted: ${answer.status}`);
    const { id } = await answer.json();
    const page = await kit.browser.login(kit, 'operate');
    await page.goto(`${kit.url}/jobs`);
    await until('it says how far it is', async () => (await page.locator('#jobs').textContent()).includes('half of it'));
    await page.getByRole('link', { name: `Cancel job ${id}` }).click();
    check((await page.locator('main').textContent()).includes('is stopped, with all that it started'), 'the effect is said before');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.waitForURL(/done=cancel/);
    await until('it has ended', async () => (await page.locator('h1 + .pill').textContent()).trim() === 'failed');
    check((await page.locator('main').textContent()).includes('cancelled by page:'), 'and says by whom');
    kit.browser.calm(page);
  },

  async 'numbers of the database lead to what makes them up'(kit) {
    const page = await kit.browser.login(kit, 'read');
    await page.goto(`${kit.url}/database`);
    const row = page.locator('#queues tr', { hasText: 'scorer' });
    const done = row.locator('[data-name="done"] a');
    const count = Number((await done.textContent()).replaceAll(',', ''));
    check(count > 0, 'records are done');
    await done.click();
    check(await page.locator('#found tbody tr').count() === Math.min(count, 50), 'as many as the number says');
    kit.browser.calm(page);
  },

  async 'a file is found by folder and date, with who reads it'(kit) {
    const page = await kit.browser.login(kit, 'read');
    await page.goto(`${kit.url}/files`);
    await page.locator('summary', { hasText: 'imports' }).click();
    await page.locator('details[open] li a').first().click();
    const row = page.locator('table tbody tr').first();
    check((await row.textContent()).includes('validator'), 'its reader is named');
    await row.locator('td a').first().click();
    await page.waitForURL(/\/deliveries\/\d+$/);
    const answer = await page.request.get(`${kit.url}/files?at=.handover/tmp`);
    check(answer.status() === 404, 'Handover\'s own folder is nobody\'s');
    const up = await page.request.get(`${kit.url}/files?at=../..`);
    check(up.status() === 404, 'nor is what lies above');
    kit.browser.calm(page);
  },

  async 'growth is told of the ledger, the folders and the disk'(kit) {
    const page = await kit.browser.login(kit, 'read');
    for (const [path, row] of [['/database', 'the whole ledger'], ['/files', '.handover']]) {
      await page.goto(`${kit.url}${path}`);
      const growth = page.getByRole('region', { name: 'Growth' });
      check(await growth.getByRole('rowheader', { name: row, exact: true }).isVisible(), `${row} stands there`);
    }
    const disk = await page.locator('#growth .disk').textContent();
    check(disk.includes('are free') && disk.includes('too little history to tell when it fills up'), disk);
    kit.browser.calm(page);
  },

  async 'their pages hold what every page must'(kit) {
    const page = await kit.browser.login(kit, 'operate');
    await kit.browser.sound(page, '/jobs');
    await kit.browser.sound(page, '/database');
    await kit.browser.sound(page, '/files');
    const file = JSON.parse(kit.project.command('list', '--json', '--app', 'validator'))[0].data.path;
    await kit.browser.sound(page, `/files?at=${encodeURIComponent(file.slice(0, file.lastIndexOf('/')))}`);
  },
};
