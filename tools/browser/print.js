/*
 * print.js: prints the sheets that tools/docs_pdf.py has made, each as a PDF of its own.
 *
 *   node print.js FOLDER CHROMIUM
 *
 * FOLDER/sheets.json lists the sheets in the order of the book. They are printed one after the other, because each
 * begins with the number of the page behind the last one; one document of all of them takes Chromium minutes, or
 * does not end well. The table of contents, which stands in front, is printed twice: at first only to see how
 * many pages it takes, at last with the numbers.
 *
 * Writes FOLDER/NAME.pdf for each sheet, and FOLDER/pages.json: where each begins, and how many pages it has.
 * One line for each figure that did not load and for what sticks out at the right edge. Status: 0; 1 with such.
 */
'use strict';
const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');
const { chromium } = require('playwright-core');

const [folder, browserPath] = process.argv.slice(2);
const PAPER = { width: 680, height: 990 }; // what is between the margins of A4, in CSS pixels
const LIMIT_MS = 60000 * Number(process.env.TEST_SLOWDOWN || 1);

let faults = 0;
function fault(sheet, what) {
    faults += 1;
    console.log(`docs-pdf: ${sheet.page}: ${what}`);
}

/** What a reader of the paper would miss. */
const missing = () => {
    const edge = document.documentElement.clientWidth + 1;
    const out = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > edge);
    return [...document.images].filter(img => !img.complete || img.naturalWidth === 0)
        .map(img => `${img.getAttribute('src')} did not load`)
        .concat(out.slice(0, 1).map(e => `${e.tagName}.${e.className} sticks out: ${e.textContent.slice(0, 60)}`));
};

/**
 * Hatched areas keep Chromium busy when it writes a PDF: the page of timelines was not written after 14 seconds of a
 * processor's time. Such a figure becomes dots. It is drawn in a tab of its own, where nothing is drawn with it.
 */
async function dotHatched(tab, easel, names) {
    for (const name of names) {
        const picture = path.join(folder, name + '.png');
        if (!fs.existsSync(picture)) {
            await easel.goto(pathToFileURL(path.join(folder, '..', 'html', name)).href);
            const size = await easel.evaluate(() => {
                const { width, height } = document.documentElement.viewBox.baseVal;
                return { width: Math.ceil(width), height: Math.ceil(height) };
            });
            await easel.setViewportSize(size);
            await easel.screenshot({ path: picture });
        }
        await tab.locator(`img[src$="/${name}"]`).first().evaluate((img, dots) => {
            img.style.width = img.getBoundingClientRect().width + 'px';
            img.src = dots;
            return img.decode();
        }, path.basename(picture));
    }
}

/** Chromium writes the tree of pages as plain text; its root has the largest count. */
function pagesIn(pdf) {
    const counts = [...pdf.toString('latin1').matchAll(/\/Count (\d+)/g)].map(match => Number(match[1]));
    return Math.max(0, ...counts);
}

async function print(tab, easel, sheet, first) {
    await tab.goto(pathToFileURL(path.join(folder, sheet.name + '.html')).href, { waitUntil: 'load' });
    await tab.addStyleTag({ content: `html { counter-reset: page ${first - 1}; }` });
    for (const what of await tab.evaluate(missing))
        fault(sheet, what);
    await dotHatched(tab, easel, sheet.hatched || []);
    const pdf = await tab.pdf({ preferCSSPageSize: true, printBackground: true, tagged: false });
    fs.writeFileSync(path.join(folder, sheet.name + '.pdf'), pdf);
    const count = pagesIn(pdf);
    if (count === 0)
        fault(sheet, 'has no pages');
    return count;
}

/** Puts the number of the page behind each title of the table of contents. */
function numberContents(name, printed) {
    const file = path.join(folder, name + '.html');
    const first = new Map(printed.map(sheet => [sheet.name, sheet.first]));
    const text = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, text.replace(/(<td data-sheet="([^"]+)">)[^<]*/g,
        (all, cell, sheet) => cell + first.get(sheet)));
}

(async () => {
    const sheets = JSON.parse(fs.readFileSync(path.join(folder, 'sheets.json'), 'utf8'));
    const browser = await chromium.launch({ executablePath: browserPath, timeout: LIMIT_MS,
        args: ['--no-sandbox', '--allow-file-access-from-files'] });
    const context = await browser.newContext({ viewport: PAPER, deviceScaleFactor: 3, colorScheme: 'light' });
    context.setDefaultTimeout(LIMIT_MS);
    const tab = await context.newPage();
    await tab.emulateMedia({ media: 'print', colorScheme: 'light' });
    const easel = await context.newPage();
    const printed = [];
    let next = 1;
    for (const sheet of sheets) {
        const count = await print(tab, easel, sheet, next);
        printed.push({ ...sheet, first: next, count });
        next += count;
    }
    const contents = printed.find(sheet => sheet.page === 'contents');
    numberContents(contents.name, printed);
    if (await print(tab, easel, contents, contents.first) !== contents.count)
        fault(contents, 'takes other pages with its numbers than without');
    await browser.close();
    fs.writeFileSync(path.join(folder, 'pages.json'), JSON.stringify(printed, null, 1));
    process.exit(faults > 0 ? 1 : 0);
})();
