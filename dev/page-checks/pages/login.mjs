// The way in and out.
import { check } from '../browser.mjs';

export default {
  'who is not known is led to the login page, and from there to where they wanted to go': async (kit) => {
    const page = await kit.browser.window();
    page.origin = kit.url;
    await kit.browser.sound(page, '/login');
    await page.goto(`${kit.url}/checks`);
    check(new URL(page.url()).pathname === '/login', page.url());
    await page.getByLabel('API key').fill('ho_0123456789_0123456789abcdefghjkmnpqrstvwxyz');
    await page.keyboard.press('Enter');
    check((await page.getByRole('alert').textContent()).includes('not valid'), 'a wrong key is not said');
    await page.getByLabel('API key').fill(kit.project.keys.read);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${kit.url}/checks`);
    const [cookie] = await page.context().cookies();
    check(cookie.httpOnly && cookie.sameSite === 'Strict' && !cookie.value.includes('ho_'), JSON.stringify(cookie));
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL(`${kit.url}/login`);
    check((await page.context().cookies()).length === 0, 'the cookie stays');
    kit.browser.calm(page, ['401']);
  },
  'a key that may not look is told so': async (kit) => {
    const page = await kit.browser.login(kit, 'submit');
    check((await page.getByRole('heading').textContent()) === 'Not with this key', await page.content());
  },
  'a page of another site cannot act, nor put this one into a frame': async (kit) => {
    const page = await kit.browser.login(kit, 'admin');
    const other = await page.context().newPage();
    await other.route('http://evil.example/**', (route) => route.fulfill({
      contentType: 'text/html',
      body: `<iframe src="${kit.url}/"></iframe><form method="post" action="${kit.url}/logout"><button>win</button></form>`,
    }));
    await other.goto('http://evil.example/');
    const frame = other.frames()[1];
    await other.waitForTimeout(500);
    check(!frame || !frame.url().startsWith('http') || !(await frame.content().catch(() => '')).includes('Handover'), 'it is in a frame');
    await other.getByRole('button').click();
    await other.waitForLoadState();
    check((await page.context().cookies(kit.url)).length === 1, 'another site logged one out');
  },
};
