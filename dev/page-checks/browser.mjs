// The browser, and what every page must hold: nothing on the console, no refused script or style, nothing from elsewhere, a main
// landmark and headings, names and labels, every control by keyboard with its focus seen, no scrolling sideways on a phone, light
// and dark, and a small weight.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const WEIGHT_MAX = 150 * 1024;
const CONTROLS_MAX = 80;
const WIDE = { width: 1360, height: 900 };
const NARROW = { width: 390, height: 844 };

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

// Waits until something holds; gives what it gave.
export async function until(what, look, patience = 20000) {
  const end = Date.now() + patience;
  let last = null;
  for (;;) {
    try {
      const found = await look();
      if (found) return found;
      last = found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`waited in vain: ${what} (${last})`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

export class Browser {
  static async launch(tools, executablePath, shots) {
    const require = createRequire(join(tools, 'x.js'));
    const { chromium } = require('playwright-core');
    const browser = new Browser();
    browser.shots = shots;
    browser.opened = [];
    browser.engine = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
    return browser;
  }

  // A window of its own, with its own cookies.
  async window(options = {}) {
    const context = await this.engine.newContext({ viewport: WIDE, ...options });
    this.opened.push(context);
    const page = await context.newPage();
    page.wrong = [];
    page.weights = new Map();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) page.wrong.push(`${message.type()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => page.wrong.push(`script: ${error.message}`));
    page.on('dialog', (dialog) => { page.wrong.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith('http') && page.origin && url.origin !== page.origin) page.wrong.push(`asks elsewhere: ${url.origin}`);
    });
    page.on('response', async (response) => {
      if ((response.headers()['content-type'] || '').startsWith('text/event-stream')) return;
      try {
        page.weights.set(response.url(), (await response.body()).length);
      } catch { /* A redirect has no body. */ }
    });
    return page;
  }

  // A window of somebody who has logged in by the page.
  async login(kit, who, options = {}) {
    const page = await this.window(options);
    page.origin = kit.url;
    await page.goto(`${kit.url}/login`);
    await page.getByLabel('API key').fill(kit.project.keys[who]);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.waitForURL((url) => url.pathname !== '/login');
    return page;
  }

  // Nothing went wrong so far in a window; `but` are texts of messages that were meant.
  calm(page, but = []) {
    const wrong = page.wrong.filter((one) => !but.some((known) => one.includes(known)));
    check(wrong.length === 0, `went wrong: ${wrong.join(' | ')}`);
  }

  // What every page must hold.
  async sound(page, path) {
    page.weights.clear();
    const answer = await page.goto(new URL(path, page.origin).href);
    check(answer.ok(), `${path}: ${answer.status()}`);
    await page.waitForTimeout(400);
    const weight = [...page.weights.values()].reduce((sum, one) => sum + one, 0);
    check(weight < WEIGHT_MAX, `${path} weighs ${weight} bytes`);
    const found = await page.evaluate(structure);
    check(found.length === 0, `${path}: ${found.join('; ')}`);
    await this.keyboard(page, path);
    await page.evaluate(() => {
      document.activeElement?.blur();
      window.scrollTo(0, 0);
      document.querySelectorAll('.steps').forEach((one) => { one.scrollLeft = 0; });
    });
    for (const [size, viewport] of [['wide', WIDE], ['narrow', NARROW]]) {
      await page.setViewportSize(viewport);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        const across = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        check(across <= 0, `${path} scrolls sideways by ${across} px, ${size}`);
        const pale = await page.evaluate(contrast);
        check(pale.length === 0, `${path}, ${size}, ${colorScheme}: too pale: ${pale.join('; ')}`);
        if (this.shots) {
          const name = path.replace(/\?.*/, '').replace(/^\/deliveries\/\d+/, '/delivery').replace(/^\//, '').replace(/[^a-z0-9]+/gi, '-') || 'flows';
          await page.screenshot({ path: join(this.shots, `${name}-${size}-${colorScheme}.png`), fullPage: true });
        }
      }
    }
    await page.setViewportSize(WIDE);
    await page.emulateMedia({ colorScheme: 'light' });
    this.calm(page);
  }

  // Every control is reached by Tab, in the order of the page, and its focus is seen.
  async keyboard(page, path) {
    const count = await page.evaluate(() => {
      document.activeElement?.blur();
      window.scrollTo(0, 0);
      window.controls = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
        .filter((one) => one.checkVisibility() && !one.disabled);
      return window.controls.length;
    });
    const reached = new Set();
    // Behind the last the browser has a stop of its own, from which the page begins anew.
    for (let press = 0; press < Math.min(count, CONTROLS_MAX) + 3; press += 1) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(() => {
        const one = document.activeElement;
        if (one === document.body) return null;
        const style = getComputedStyle(one);
        return { nth: window.controls.indexOf(one), seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0, html: one.outerHTML.slice(0, 100) };
      });
      if (!at) continue;
      check(at.seen, `${path}: the focus is not seen on ${at.html}`);
      reached.add(at.nth);
    }
    // A live page may have put some elements anew meanwhile, and of a group of radio buttons one is a stop.
    const missed = await page.evaluate((all) => window.controls.filter((one, nth) => one.isConnected && !all.includes(nth) && one.type !== 'radio').map((one) => one.outerHTML.slice(0, 100)), [...reached]);
    check(count > CONTROLS_MAX || missed.length === 0, `${path}: not reached by Tab: ${missed.join(' ')}`);
  }

  async tidy() {
    await Promise.all(this.opened.splice(0).map((context) => context.close()));
  }

  async close() {
    await this.engine.close();
  }
}

// Runs in the page: what its structure lacks.
function structure() {
  const wrong = [];
  if (document.querySelectorAll('main').length !== 1) wrong.push('there is not one main landmark');
  if (document.querySelectorAll('h1').length !== 1) wrong.push(`there are ${document.querySelectorAll('h1').length} h1`);
  if (!document.documentElement.lang) wrong.push('no language');
  if (!document.title) wrong.push('no title');
  let level = 0;
  for (const one of document.querySelectorAll('h1, h2, h3, h4')) {
    const here = Number(one.tagName[1]);
    if (here > level + 1) wrong.push(`the heading ${one.textContent} skips a level`);
    level = here;
  }
  const name = (one) => one.getAttribute('aria-label') || one.textContent.trim() || one.querySelector('[aria-label], title')?.getAttribute('aria-label') || one.title;
  for (const one of document.querySelectorAll('a[href], button, summary')) if (!name(one)) wrong.push(`without a name: ${one.outerHTML.slice(0, 100)}`);
  for (const one of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
    if (!one.labels?.length && !one.getAttribute('aria-label')) wrong.push(`without a label: ${one.outerHTML.slice(0, 100)}`);
  }
  for (const one of document.querySelectorAll('[tabindex]')) if (one.tabIndex > 0) wrong.push(`an order of its own: ${one.outerHTML.slice(0, 80)}`);
  for (const one of document.querySelectorAll('[style], style, script:not([src])')) wrong.push(`inline: ${one.outerHTML.slice(0, 80)}`);
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  if (new Set(ids).size !== ids.length) wrong.push('an id is there twice');
  for (const one of document.querySelectorAll('table')) if (!one.querySelector('th')) wrong.push('a table without headings');
  return wrong;
}

// Runs in the page: texts that differ from their ground by less than 4.5 to 1 (WCAG 2, 1.4.3).
function contrast() {
  const numbers = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const part = (value) => { const s = value / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return numbers(getComputedStyle(document.body).backgroundColor);
  };
  const pale = new Set();
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.checkVisibility() || one.closest('svg, .unseen, .skip, .step.hidden')) continue;
    const [a, b] = [light(numbers(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) pale.add(`${one.className || one.tagName} ${ratio.toFixed(2)}`);
  }
  return [...pale];
}
