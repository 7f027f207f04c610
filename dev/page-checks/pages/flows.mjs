// Flows: drawn with what moves on them, live.
import { NASTY } from '../project.mjs';
import { check, until } from '../browser.mjs';

export default {
  'flows are drawn, with what failed': async (kit) => {
    const page = await kit.browser.login(kit, 'read');
    await kit.browser.sound(page, '/');
    const text = await page.locator('main').innerText();
    for (const word of ['orders', 'From the shop to the books', 'validator', 'enriched', 'Needs a person', 'Waiting now']) {
      check(text.includes(word), `${word} is not there`);
    }
    check(text.includes('Fails <b>loudly</b>'), 'markup is not shown as text');
    check(await page.locator('.step.hurt .name', { hasText: 'fragile' }).count() === 1, 'what failed is not marked');
    check(await page.locator('#needs tbody tr').count() > 0, 'nothing needs a person');
  },
  'what fails while one looks appears by itself': async (kit) => {
    const page = await kit.browser.login(kit, 'read');
    await page.goto(kit.url);
    await until('it is live', async () => (await page.locator('#live').textContent()) === 'live');
    const failed = async () => Number(/(\d+) failed/.exec(await page.locator('#pills').textContent())?.[1]);
    const before = await failed();
    kit.project.drop(`live-${Date.now()}.csv`, [[1, 2]]);
    await until('one more failed', async () => (await failed()) > before, 40000);
    kit.browser.calm(page);
  },
  'a lost connection is said, and the page is right again afterwards': async (kit) => {
    const page = await kit.browser.login(kit, 'read');
    await page.goto(kit.url);
    await until('it is live', async () => (await page.locator('#live').textContent()) === 'live');
    const failed = async () => Number(/(\d+) failed/.exec(await page.locator('#pills').textContent())?.[1]);
    const before = await failed();
    await kit.project.stop();
    await until('it says so', async () => (await page.locator('#live').textContent()) === 'not live');
    kit.project.drop(`away-${Date.now()}.csv`, [[1, 2]]);
    await kit.project.serveAgain();
    await until('it is live again', async () => (await page.locator('#live').textContent()) === 'live', 40000);
    await until('what failed meanwhile is there', async () => (await failed()) > before, 40000);
    kit.browser.calm(page, ['ERR_', 'Failed to load resource']);
  },
  'without script the page is whole': async (kit) => {
    const page = await kit.browser.login(kit, 'read', { javaScriptEnabled: false });
    await page.goto(kit.url);
    const text = await page.locator('main').innerText();
    check(text.includes('validator') && text.includes('Needs a person'), 'it is not whole');
  },
  'texts of programs are texts': async (kit) => {
    const page = await kit.browser.login(kit, 'read');
    await page.goto(kit.url);
    const text = await page.locator('#needs').innerText();
    check(!/[\u001b\u202e]/.test(text), 'what is not seen is there as it is');
    check(await page.locator('main img, main script').count() === 0, `${NASTY} became an element`);
    kit.browser.calm(page);
  },
  'a key for one app sees that app alone': async (kit) => {
    const page = await kit.browser.login(kit, 'stock');
    await page.goto(kit.url);
    const html = await page.content();
    check(html.includes('stock') && html.includes('not for your key'), 'the flow of its app is not there');
    check(!html.includes('Fails ') && !html.includes('nightly'), 'what is of others is there');
    kit.browser.calm(page);
  },
};
