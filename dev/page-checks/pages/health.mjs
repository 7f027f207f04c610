// Health: the checks, with what to do.
import { check, until } from '../browser.mjs';

export default {
  'the checks are there, the worst first': async (kit) => {
    const page = await kit.browser.login(kit, 'read');
    await kit.browser.sound(page, '/checks');
    const verdicts = await page.locator('#checks tbody .pill').allTextContents();
    check(verdicts.length > 5, `there are ${verdicts.length} checks`);
    check(verdicts[0] === 'warn' || verdicts[0] === 'fail', `a failed file is not all well: ${verdicts}`);
    check(await page.getByRole('link', { name: 'Health' }).getAttribute('aria-current') === 'page', 'one does not see where one is');
  },
  'all of it stays true, when it was looked at too': async (kit) => {
    const page = await kit.browser.login(kit, 'read');
    await page.goto(`${kit.url}/checks`);
    const at = () => page.locator('.head time').getAttribute('datetime');
    const before = await at();
    await until('a later look', async () => (await at()) > before, 60000);
  },
  'a key for some apps does not see the health of all': async (kit) => {
    const page = await kit.browser.login(kit, 'stock');
    const answer = await page.goto(`${kit.url}/checks`);
    check(answer.status() === 403, `${answer.status()}`);
    check((await page.getByRole('heading').textContent()) === 'Not with this key', 'it is not said');
  },
};
