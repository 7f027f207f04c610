// A project for the pages: flows of each pattern, a fork and a join, files that pass, files that fail, something paused, texts
// that would break a page; and a process that serves it.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export const NASTY = `<img src=x onerror="alert(1)"><script>alert(2)</script>`;

const CONFIG = `data: ./data
apps:
  file-importer: { uses: file-importer, icon: "↓", description: "Orders of the shop, as they come", with: { from: ./incoming, pattern: "*.csv", type: orders } }
  validator: { uses: validator, icon: "✓", with: { schema: orders.json, max_error_rate: 0.5 } }
  prices: { run: "cat", description: "Adds prices of today" }
  stock: { run: "cat", description: "Takes what was ordered from the stock" }
  merge: { run: "cat", description: "${'Both together, in a sentence that is far too long for the place where it stands, and so is cut'}" }
  file-exporter: { uses: file-exporter, icon: "↑", with: { to: ./outgoing } }
  fragile: { run: "./fragile", retries: 0, description: 'Fails <b>loudly</b> & "often"' }
  scorer: { run: "./score", mode: stream }
  slow: { run: "./slow", output: none, description: "Takes its time" }
  nightly: { run: "echo done", description: "Outside all flows" }
flows:
  orders:
    description: From the shop to the books
    links:
      - file-importer -> validator -> [prices, stock] -> merge
      - { from: merge, to: file-exporter, by: file, label: "enriched" }
  trouble: [ { from: validator, to: fragile, label: "the odd ones" } ]
  scored: [ { from: validator, to: scorer, by: database, label: scores } ]
api: { listen: 127.0.0.1:0, auth: keys, limits: { default: 1000000/s, address: 1000000/s } }
`;

export class Project {
  constructor(handover, folder) {
    this.handover = handover;
    this.folder = join(folder, 'project');
    this.keys = {};
    this.process = null;
  }

  path(name) {
    return join(this.folder, name);
  }

  write(name, text, mode) {
    writeFileSync(this.path(name), text, { mode: mode ?? 0o644 });
  }

  // Runs a command to its end; gives what it printed.
  command(...words) {
    return execFileSync(this.handover, words, { cwd: this.folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  key(name, ...words) {
    return this.command('keys', 'create', name, ...words).trim();
  }

  // Puts a file of orders in front of the importer.
  drop(name, rows) {
    const lines = ['id,price', ...rows.map(([id, price]) => `${id},${price}`)];
    this.write(`incoming/.${name}`, lines.join('\n') + '\n');
    execFileSync('mv', [this.path(`incoming/.${name}`), this.path(`incoming/${name}`)]);
  }

  async start() {
    mkdirSync(this.path('incoming'), { recursive: true });
    mkdirSync(this.path('outgoing'), { recursive: true });
    this.write('handover.yaml', CONFIG);
    this.write('orders.json', JSON.stringify({ fields: [{ name: 'id', type: 'integer' }, { name: 'price', type: 'number' }] }));
    this.write('fragile', `#!/bin/sh\ncat >/dev/null\nif [ -e mended ]; then echo ok; exit 0; fi\nprintf '%s\\033[31m red \\342\\200\\256 turned\\n' '${NASTY}' >&2\nexit 3\n`, 0o755);
    this.write('slow', '#!/bin/sh\necho "half of it" >&2\nexec sleep 600\n', 0o755);
    this.write('score', `#!/usr/bin/env node\nconst lines = require('node:readline').createInterface({ input: process.stdin });\nlines.on('line', (line) => { const { id, data } = JSON.parse(line); console.log(JSON.stringify({ id, status: 'completed', data: { ...data, score: 1 } })); });\n`, 0o755);
    for (let nth = 1; nth <= 4; nth += 1) this.drop(`day${nth}.csv`, [[nth, 10.5], [nth + 1, 'dear'], [nth + 2, 7]]);
    this.drop('héllo <b>&"wörld".csv', [[9, 1], [10, 2]]);
    try {
      this.command('run', '--once');
    } catch (error) {
      // 1: a delivery failed, as it is meant to.
      if (error.status !== 1) throw error;
    }
    this.keys.admin = this.key('the admin', '--scope', 'admin');
    this.keys.operate = this.key('an operator', '--scope', 'operate');
    this.keys.read = this.key('a reader', '--scope', 'read');
    this.keys.stock = this.key('stock alone', '--scope', 'read', '--app', 'stock');
    this.keys.submit = this.key('a submitter', '--scope', 'submit');
    await this.serve();
  }

  async serve() {
    let log = '';
    this.process = spawn(this.handover, ['run', '-v'], { cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] });
    this.process.stderr.on('data', (data) => { log += data; });
    this.log = () => log;
    for (let tries = 0; tries < 300; tries += 1) {
      const said = /the API listens: (http:\/\/[^/]*)/.exec(log);
      if (said) {
        this.url = said[1];
        return;
      }
      if (this.process.exitCode !== null) break;
      await sleep(100);
    }
    throw new Error(`it does not serve: ${log.slice(-600)}`);
  }

  // Serves at the address of before, for who looks again.
  async serveAgain() {
    const port = new URL(this.url).port;
    this.write('handover.yaml', CONFIG.replace('127.0.0.1:0', `127.0.0.1:${port}`));
    await this.serve();
  }

  async stop() {
    const running = this.process;
    this.process = null;
    if (!running || running.exitCode !== null) return;
    running.kill('SIGTERM');
    for (let tries = 0; tries < 200 && running.exitCode === null && running.signalCode === null; tries += 1) await sleep(100);
    if (running.exitCode === null) running.kill('SIGKILL');
  }

  exists(name) {
    return existsSync(this.path(name));
  }

  read(name) {
    return readFileSync(this.path(name), 'utf8');
  }
}
