// Walks through examples/server.rs in a headless Chromium, as a person would.
//
//   SERVER=path/to/server CHROMIUM=/usr/bin/chromium node --test walk.test.mjs
//
// With SCREENSHOTS=folder it leaves a picture of each page there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const { SERVER, CHROMIUM = '/usr/bin/chromium', SCREENSHOTS } = process.env;
const PATIENCE = 60_000;
const PASSWORD = 'correct horse battery';

let browser;
const servers = [];
// What a page must never say: broken scripts, and what the content security policy refused.
const complaints = [];

before(async () => {
  if (SCREENSHOTS) mkdirSync(SCREENSHOTS, { recursive: true });
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
});
after(async () => {
  await browser?.close();
  for (const server of servers) server.process.kill();
});

const start = async (...options) => {
  const process = spawn(SERVER, ['--port', '0', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  const first = (stream) => new Promise((line) => createInterface(stream).once('line', line));
  const [address, told] = await Promise.all([first(process.stdout), first(process.stderr)]);
  const server = { process, address, password: told.split(' ').at(-1) };
  servers.push(server);
  return server;
};

// A browser of its own: another device.
const device = async (server, options = {}) => {
  const context = await browser.newContext({ baseURL: server.address, ...options });
  context.setDefaultTimeout(PATIENCE);
  context.on('page', (page) => {
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      const isExpected = /status of (404|422)|ERR_INCOMPLETE|ERR_CONNECTION/.test(message.text());
      if (message.type() === 'error' && !isExpected) complaints.push(message.text());
    });
  });
  return { context, page: await context.newPage() };
};

const picture = async (page, name) => {
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
};
const text = (page) => page.locator('main').innerText();
const session = async (context) => (await context.cookies()).find(({ name }) => name === 'session');
// Clicks what leads to another page, and waits for that.
const follow = async (page, locator) => {
  const navigated = page.waitForEvent('framenavigated');
  await locator.click();
  await navigated;
  await page.waitForLoadState();
};
const press = (page, name) => follow(page, page.getByRole('button', { name, exact: true }));
const add = (page, item) => follow(page, page.locator(`button[value="${item}"]`));

const credentials = async (page, path, name, password, button) => {
  await page.goto(path);
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(password);
  await press(page, button);
};
const signUp = (page, name) => credentials(page, '/signup', name, PASSWORD, 'Sign up');
const logIn = (page, name, password = PASSWORD) => credentials(page, '/login', name, password, 'Log in');

let site;
test('the server starts', async () => {
  site = await start('--idle', '600');
});

test('a visitor is counted, and their cookie is out of reach of scripts', async () => {
  const { context, page } = await device(site);
  await page.goto('/');
  await page.reload();
  assert.match(await text(page), /visits: 2/);
  const { httpOnly, sameSite } = await session(context);
  assert.deepEqual({ httpOnly, sameSite }, { httpOnly: true, sameSite: 'Lax' });
  assert.equal(await page.evaluate(() => document.cookie), '');
  await picture(page, 'home');
});

test('signing up and logging in give the session a new id, and the old one is worth nothing', async () => {
  const { context, page } = await device(site);
  await page.goto('/');
  const planted = await session(context);
  await add(page, 'Brass key');
  await picture(page, 'anonymous');
  await page.goto('/signup');
  await picture(page, 'signup');
  await signUp(page, 'ann');
  assert.match(await text(page), /Welcome, ann\./);
  assert.match(await text(page), /logged in as ann/);
  await picture(page, 'welcome');
  assert.notEqual((await session(context)).value, planted.value);
  await page.reload();
  assert.doesNotMatch(await text(page), /Welcome/, 'a message is shown once');

  const thief = await device(site);
  await thief.context.addCookies([planted]);
  await thief.page.goto('/');
  assert.doesNotMatch(await text(thief.page), /ann/);
  assert.match(await text(thief.page), /visits: 1\b/);
});

test('a wrong password and a short one are refused, and the page says so', async () => {
  const { page } = await device(site);
  await logIn(page, 'ann', 'not her password');
  assert.match(await text(page), /not the name and its password/);
  await picture(page, 'refused');
  await page.goto('/signup');
  await page.getByLabel('Name').fill('short');
  await page.getByLabel('Password').fill('short');
  await page.getByRole('button', { name: 'Sign up' }).click();
  assert.equal(await page.locator('input:invalid').count(), 1, 'the browser itself refuses it');
});

test('two tabs at once put everything into one cart', async () => {
  const { context, page } = await device(site);
  await page.goto('/');
  const other = await context.newPage();
  await other.goto('/');
  await Promise.all([add(page, 'Brass key'), add(other, 'Hourglass')]);
  const post = (tab, item) => tab.evaluate(async (item) => {
    const form = () => fetch('/cart', { method: 'POST', body: new URLSearchParams({ item }) });
    await Promise.all(Array.from({ length: 10 }, form));
  }, item);
  await Promise.all([post(page, 'Brass key'), post(other, 'Hourglass')]);
  await page.goto('/cart');
  const rows = await page.locator('tbody tr').allInnerTexts();
  assert.deepEqual(rows.map((row) => row.split(/\s*\t\s*/).slice(0, 2)), [['Brass key', '11'], ['Hourglass', '11']]);
  assert.equal(await page.locator('.count').innerText(), '22');
  await picture(page, 'cart');
  await press(page, 'Order');
  assert.match(await text(page), /22 pieces are ordered/);
  await other.goto('/cart');
  assert.match(await text(other), /There is nothing in it/);
});

test('a user sees where they are logged in, and ends sessions one by one and everywhere', async () => {
  const laptop = await device(site);
  await signUp(laptop.page, 'bob');
  const phone = await device(site, {
    userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1',
    viewport: { width: 390, height: 780 },
  });
  await logIn(phone.page, 'bob');
  const tablet = await device(site);
  await logIn(tablet.page, 'bob');

  await laptop.page.goto('/devices');
  assert.equal(await laptop.page.locator('tbody tr').count(), 3);
  assert.match(await text(laptop.page), /Safari on iOS/);
  assert.equal(await laptop.page.getByText('this one').count(), 1);
  await picture(laptop.page, 'devices');
  await phone.page.goto('/devices');
  await picture(phone.page, 'devices-phone');

  await follow(laptop.page, laptop.page.locator('tr', { hasText: 'Safari on iOS' }).getByRole('button'));
  assert.match(await text(laptop.page), /That session has ended/);
  await phone.page.goto('/devices');
  assert.match(phone.page.url(), /\/login$/);

  const kept = await session(laptop.context);
  await press(tablet.page, 'Log out');
  assert.match(await text(tablet.page), /You are logged out\./);
  await logIn(tablet.page, 'bob');
  await laptop.page.goto('/devices');
  await press(laptop.page, 'Log out everywhere');
  assert.match(await text(laptop.page), /You are logged out everywhere/);
  await picture(laptop.page, 'logged-out-everywhere');
  await tablet.page.goto('/devices');
  assert.match(tablet.page.url(), /\/login$/);

  // The cookie from before, replayed.
  await laptop.context.addCookies([kept]);
  await laptop.page.goto('/');
  assert.doesNotMatch(await text(laptop.page), /bob/);
});

test('without scripts everything but the operator’s page works', async () => {
  const { page } = await device(site, { javaScriptEnabled: false });
  await signUp(page, 'carol');
  await add(page, 'Wool socks');
  assert.match(await text(page), /Wool socks is in your cart/);
  await press(page, 'Log out');
  assert.match(await text(page), /You are logged out/);
});

test('the operator’s page is for the operator', async () => {
  const { context, page } = await device(site);
  await page.goto('/sessions');
  assert.match(page.url(), /\/login$/);
  await signUp(page, 'dave');
  assert.equal((await page.goto('/sessions')).status(), 404);
  assert.equal((await context.request.get('/sessions/events')).status(), 404);
});

test('the operator sees sessions come, lapse and go as it happens', async () => {
  const busy = await start('--idle', '10', '--capacity', '60');
  const operator = await device(busy, { viewport: { width: 1280, height: 900 } });
  await logIn(operator.page, 'operator', busy.password);
  assert.match(operator.page.url(), /\/sessions$/);
  const events = operator.page.locator('#events');
  await operator.page.getByText('As it happens.').waitFor();

  const visit = async () => { await fetch(busy.address); };
  // The stream touches nothing: this keeps the operator logged in.
  const stay = () => operator.context.request.get('/cart');
  const visitor = await device(busy);
  await visitor.page.goto('/');
  await stay();
  await signUp(visitor.page, 'erin');
  await stay();
  await events.getByText('renewed').first().waitFor();
  for (let wave = 0; wave < 8; wave += 1) {
    await Promise.all(Array.from({ length: 5 }, visit));
    await operator.page.waitForTimeout(700);
    await stay();
  }
  await picture(operator.page, 'operator');
  const lapsed = events.getByText('lapsed').first();
  for (let looks = 0; looks < 60 && !(await lapsed.isVisible()); looks += 1) {
    await operator.page.waitForTimeout(1_000);
    await stay();
  }
  assert.ok(await lapsed.isVisible(), 'sessions lapse before one’s eyes');
  await Promise.all(Array.from({ length: 150 }, visit));
  await events.getByText('evicted').first().waitFor();
  // The figures follow the events within half a second.
  await operator.page.waitForTimeout(700);
  const live = Number(await operator.page.locator('#live').innerText());
  assert.ok(live > 0 && live <= 60, `${live} live sessions in a store of 60`);
  assert.match(await (await stay()).text(), /Log out/, 'a flood of visitors does not push the operator out');
  await picture(operator.page, 'operator-busy');

  // Left alone, the operator's own session lapses though the page is open, and the stream ends.
  await operator.page.getByText('session has ended').waitFor();
  assert.equal(await operator.page.locator('#state').innerText(), 'The operator’s session has ended: log in again.');
  await picture(operator.page, 'operator-ended');
});

test('a session that is left alone lapses before one’s eyes', async () => {
  const short = await start('--idle', '3');
  const { page } = await device(short, { colorScheme: 'dark' });
  await signUp(page, 'frank');
  await picture(page, 'home-dark');
  await page.getByText('This session has lapsed').waitFor();
  await picture(page, 'lapsed');
  await page.reload();
  assert.match(await text(page), /visits: 1\b/);
  assert.doesNotMatch(await text(page), /frank/);
});

test('a session is too old one day, however busy it is', async () => {
  const strict = await start('--idle', '600', '--lifetime', '4');
  const { context, page } = await device(strict);
  await signUp(page, 'grace');
  const isLoggedIn = async () => (await (await context.request.get('/cart')).text()).includes('Log out');
  for (let looks = 0; looks < 200 && await isLoggedIn(); looks += 1) await page.waitForTimeout(100);
  await page.goto('/');
  assert.doesNotMatch(await text(page), /grace/);
});

test('no page complained, about scripts or about the content security policy', () => {
  assert.deepEqual(complaints, []);
});
