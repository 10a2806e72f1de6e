/*
 * site.js: what every page of the site does when it is open, so that it can be used by keyboard and ear.
 *
 *   - The search field gets a name; Doxygen gives it none.
 *   - What can be pushed aside (code, wide tables, figures on a phone) can be reached by the Tab key, and
 *     then pushed by the arrow keys. What fits cannot: nobody wants to stop at every block of code.
 */
(function () {
    'use strict';
    const wide = '.contents pre.fragment, .contents div.fragment, .contents table, .contents tbody, .contents .wide';

    function nameSearch() {
        const field = document.getElementById('MSearchField');
        if (field && !field.hasAttribute('aria-label'))
            field.setAttribute('aria-label', 'Search');
    }

    function reach() {
        for (const block of document.querySelectorAll(wide)) {
            if (block.scrollWidth > block.clientWidth)
                block.setAttribute('tabindex', '0');
            else
                block.removeAttribute('tabindex');
        }
    }

    // Doxygen's menu puts the field into the page, and moves it when the window is made narrow.
    const watcher = new MutationObserver(nameSearch);
    window.addEventListener('DOMContentLoaded', () => {
        nameSearch();
        watcher.observe(document.body, { childList: true, subtree: true });
    });
    window.addEventListener('load', reach);
    window.addEventListener('resize', reach);
})();
