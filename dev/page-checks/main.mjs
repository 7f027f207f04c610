// Runs the checks of all pages, one after the other, against one project that serves. What a page's file gets is `kit`.
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Browser } from './browser.mjs';
import { Project } from './project.mjs';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'pages');
const wanted = process.argv.slice(2);
const files = readdirSync(folder).filter((name) => name.endsWith('.mjs')).sort();
const chosen = files.filter((name) => !wanted.length || wanted.includes(name.replace(/\.mjs$/, '')));

const project = new Project(process.env.HANDOVER, process.env.SCRATCH);
let browser = null;
let failures = 0;
try {
  await project.start();
  browser = await Browser.launch(process.env.TOOLS, process.env.CHROMIUM, process.env.SHOTS);
  for (const name of chosen) {
    const { default: checks } = await import(pathToFileURL(join(folder, name)).href);
    for (const [what, check] of Object.entries(checks)) {
      const kit = { project, browser, url: project.url };
      try {
        await check(kit);
        console.log(`    ${name.replace(/\.mjs$/, '')}: ${what}`);
      } catch (error) {
        failures += 1;
        console.log(`    FAILED ${name.replace(/\.mjs$/, '')}: ${what}\n      ${String(error.stack || error).split('\n').slice(0, 6).join('\n      ')}`);
      } finally {
        await browser.tidy();
      }
    }
  }
} finally {
  await browser?.close();
  await project.stop();
}
if (failures) console.log(`    ${failures} failed`);
process.exit(failures ? 1 : 0);
