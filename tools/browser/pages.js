/*
 * pages.js: opens the built site in a real browser, as a reader does, and says what is wrong with it.
 *
 *   node pages.js SITE CHROMIUM [PAGE...]      without names: every page of the book
 *
 * SITE is the folder of the HTML pages. Each page is opened by file:, so nothing comes from a network:
 *   - it loads without an error, in the console too, and nothing that it asks for is missing;
 *   - in the light and in the dark theme axe-core finds no serious fault;
 *   - 360 pixels wide, nothing but tables, figures and code has to be pushed aside, and those by themselves;
 *   - printed, it is there whole, without the navigation.
 * And once: the search finds, the keyboard reaches every link, next leads from the first page to the last.
 *
 * One line for each fault, and one of totals. Status: 0; 1 when there is a fault.
 */
'use strict';
const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');
const { chromium } = require('playwright-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const [site, browserPath, ...named] = process.argv.slice(2);
const WIDE = { width: 1200, height: 900 };
const PHONE = { width: 360, height: 740 };
const LIMIT_MS = 30000 * Number(process.env.TEST_SLOWDOWN || 1);

let faults = 0;
function fault(page, what) {
    faults += 1;
    console.log(`${page}: ${what}`);
}

const address = page => pathToFileURL(path.join(site, page)).href;

/** The book in its order: from the front page, always by the link to the next one. */
async function book(tab) {
    const pages = [];
    let page = 'index.html';
    while (page && !pages.includes(page)) {
        pages.push(page);
        await tab.goto(address(page));
        page = await tab.evaluate(() => {
            const next = document.querySelector('a[rel=next]');
            return next ? new URL(next.href).pathname.split('/').pop() : null;
        });
    }
    if (page)
        fault(page, 'next leads in a circle');
    const all = fs.readdirSync(site).filter(name => name.endsWith('.html') &&
        fs.readFileSync(path.join(site, name), 'utf8').includes('<nav class="way"'));
    for (const missed of all.filter(name => !pages.includes(name)))
        fault(missed, 'next does not lead here');
    return pages;
}

/** Whatever goes wrong while a page loads is told. */
function listen(tab, tell) {
    tab.on('pageerror', error => tell(`error in a script: ${error.message}`));
    tab.on('requestfailed', request => { // one that was given up belongs to the page before: we went on too fast for it
        if (request.failure().errorText !== 'net::ERR_ABORTED')
            tell(`not found: ${path.basename(request.url())}`);
    });
    tab.on('console', message => {
        if (message.type() === 'error')
            tell(`in the console: ${message.text()}`);
    });
    tab.on('request', request => {
        if (!/^(file|data|blob):/.test(request.url()))
            tell(`asks the network for ${request.url()}`);
    });
}

/** `rules`: only these, or all of them. The second theme differs from the first in its colours alone. */
async function axeFaults(tab, rules) {
    await tab.evaluate(axe);
    const result = await tab.evaluate(only => window.axe.run(document, {
        resultTypes: ['violations'],
        ...(only ? { runOnly: only } : {}),
    }), rules);
    return result.violations
        .filter(v => v.impact === 'serious' || v.impact === 'critical')
        .map(v => `${v.impact}: ${v.id}: ${v.help} (${v.nodes.length}): ` +
                  v.nodes[0].target.join(' ').slice(0, 120));
}

/** What sticks out of the page and cannot be pushed aside by itself. */
const widest = () => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width)
        return null;
    const out = [...document.querySelectorAll('body *')]
        .filter(e => e.getBoundingClientRect().right > width + 1 && e.getClientRects().length > 0);
    return out.length > 0 ? out[0].tagName + '.' + out[0].className : 'something';
};

/** Text that is less than 9 pixels high on a phone is not read. */
const tooSmall = () => [...document.querySelectorAll('.contents img.figure')]
    .filter(img => img.naturalWidth > 0 && img.getBoundingClientRect().width / img.naturalWidth < 0.7)
    .map(img => img.getAttribute('src'));

async function checkPages(browser, pages, scheme) {
    const context = await browser.newContext({ viewport: WIDE, colorScheme: scheme });
    context.setDefaultTimeout(LIMIT_MS);
    const tab = await context.newPage();
    let said = [];
    listen(tab, what => said.push(what));
    for (const page of pages) {
        said = [];
        await tab.goto(address(page), { waitUntil: 'load' });
        for (const what of new Set(said))
            fault(page, what);
        for (const what of await axeFaults(tab, scheme === 'light' ? null : ['color-contrast']))
            fault(page, `${scheme}: ${what}`);
        if (scheme === 'light')
            await checkNarrowAndPrinted(tab, page);
    }
    await context.close();
}

async function checkNarrowAndPrinted(tab, page) {
    await tab.setViewportSize(PHONE);
    const out = await tab.evaluate(widest);
    if (out)
        fault(page, `at 360 pixels ${out} sticks out`);
    for (const src of await tab.evaluate(tooSmall))
        fault(page, `at 360 pixels ${src} is too small to be read`);
    await tab.setViewportSize(WIDE);
    await tab.emulateMedia({ media: 'print' });
    const shown = await tab.evaluate(() => ['#side-nav', '#MSearchBox', '#nav-tree']
        .filter(name => document.querySelector(name)?.getClientRects().length > 0));
    for (const name of shown)
        fault(page, `printed, ${name} is still there`);
    if (!await tab.evaluate(() => document.querySelector('.contents')?.innerText.trim().length > 0))
        fault(page, 'printed, it is empty');
    await tab.emulateMedia({ media: 'screen' });
}

async function checkSearch(tab) {
    await tab.goto(address('index.html'));
    for (const word of ['epoll', 'evq_recv', 'half-close']) {
        await tab.fill('#MSearchField', '');
        await tab.click('#MSearchField');
        await tab.keyboard.type(word.slice(0, 6), { delay: 30 });
        const found = await tab.waitForFunction(() => {
            const frame = document.querySelector('#MSearchResults');
            const box = document.querySelector('#MSearchResultsWindow');
            return box && getComputedStyle(box).display !== 'none' && frame &&
                (frame.contentDocument || frame).querySelectorAll('.SRResult').length > 0;
        }, null, { timeout: LIMIT_MS }).catch(() => null);
        if (!found)
            fault('index.html', `the search does not find ${word}`);
        await tab.keyboard.press('Escape');
    }
}

/** Tab from the beginning: each link that is seen in the text has had the focus. */
async function checkKeyboard(tab) {
    await tab.goto(address('index.html'));
    const missed = await tab.evaluate(() => {
        window.wanted = new Set([...document.querySelectorAll('.contents a[href], .contents summary')]
            .filter(e => e.getClientRects().length > 0 && !e.closest('[hidden]')));
        window.all = window.wanted.size;
        document.addEventListener('focusin', event => window.wanted.delete(event.target));
        return window.all;
    });
    for (let i = 0; i < missed + 400; i++) {
        await tab.keyboard.press('Tab');
        if (i % 20 === 0 && await tab.evaluate(() => window.wanted.size) === 0)
            return;
    }
    const left = await tab.evaluate(() => [...window.wanted].slice(0, 3).map(e => e.textContent));
    if (left.length > 0)
        fault('index.html', `the keyboard does not reach: ${left.join(', ')}`);
}

(async () => {
    const browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox',
        '--allow-file-access-from-files'] });
    const context = await browser.newContext({ viewport: WIDE });
    context.setDefaultTimeout(LIMIT_MS);
    const tab = await context.newPage();
    const pages = named.length > 0 ? named : await book(tab);
    await checkPages(browser, pages, 'light');
    await checkPages(browser, pages, 'dark');
    await checkSearch(tab);
    await checkKeyboard(tab);
    await browser.close();
    console.log(`${pages.length} pages, ${faults} faults`);
    process.exit(faults > 0 || pages.length === 0 ? 1 : 0);
})();
