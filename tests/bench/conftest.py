"""The browser suite's fixtures, once for all benchmarks: a process has one Playwright."""

from browser_parts import HOST

browser, open_page, lab, open_lab = HOST.browser, HOST.open_page, HOST.lab, HOST.open_lab
