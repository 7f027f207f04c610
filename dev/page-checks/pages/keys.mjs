// Keys: made, shown once, revoked.
import { check } from '../browser.mjs';

export default {
  'a key is made, shown once, and revoked': async (kit) => {
    const page = await kit.browser.login(kit, 'admin');
    await kit.browser.sound(page, '/keys');
    await page.getByLabel('Name: what it is for, or who has it').fill('the <b>browser</b>');
    await page.getByLabel('stock', { exact: true }).check();
    await page.getByRole('button', { name: 'Make the key' }).click();
    const secret = await page.locator('code.secret').textContent();
    check(/^ho_\w{10}_\w{32}$/.test(secret), secret);
    const asks = (key) => fetch(`${kit.url}/api/v1/apps`, { headers: { Authorization: `Bearer ${key}` } }).then((answer) => answer.status);
    check((await asks(secret)) === 200, 'the new key is not taken');
    await page.goto(`${kit.url}/keys`);
    check(!(await page.content()).includes(secret), 'it is shown twice');
    const row = page.getByRole('row', { name: /the <b>browser<\/b>/ });
    await row.locator('summary').click();
    await row.getByRole('button', { name: /^Revoke/ }).click();
    check((await page.locator('p.said').textContent()).includes('worth nothing'), 'it is not said');
    await new Promise((done) => setTimeout(done, 2500));
    check((await asks(secret)) === 401, 'it is taken still');
    kit.browser.calm(page);
  },
  'who may not make keys is not led to the page': async (kit) => {
    const page = await kit.browser.login(kit, 'operate');
    await page.goto(kit.url);
    check(await page.getByRole('navigation').getByRole('link', { name: 'Keys' }).count() === 0, 'it is in the navigation');
  },
};
