// Audit: who did what.
import { check } from '../browser.mjs';

export default {
  'who did what is there, and found again': async (kit) => {
    const page = await kit.browser.login(kit, 'admin');
    kit.project.command('pause', 'nightly');
    kit.project.command('resume', 'nightly');
    await page.goto(`${kit.url}/keys`);
    await page.getByLabel('Name: what it is for, or who has it').fill('audited');
    await page.getByRole('button', { name: 'Make the key' }).click();
    await kit.browser.sound(page, '/audit');
    check((await page.locator('#deeds').textContent()).includes('create a key'), 'the key that was made is not told');
    await page.getByLabel('Who').fill(`page:key:${kit.project.keys.admin.split('_')[1]}`);
    await page.keyboard.press('Enter');
    await page.waitForURL(/who=page/);
    const actors = await page.locator('#deeds tbody tr td:nth-child(2)').allTextContents();
    check(actors.length > 0 && actors.every((one) => one.startsWith('page:key:')), `${actors}`);
    await page.goto(`${kit.url}/audit?delivery=1&workers=yes`);
    check((await page.locator('#deeds').textContent()).includes('hand over'), 'what workers did is not there');
    const answer = await page.goto(`${kit.url}/audit?delivery=%3Cb%3E`);
    check(answer.status() === 400, `${answer.status()}`);
    kit.browser.calm(page, ['400']);
  },
};
