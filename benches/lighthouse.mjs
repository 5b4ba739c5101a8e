// The page as a phone sees it: Lighthouse in headless Chromium, mobile profile (4 times slower
// processor, slow 4G), and the time from input to paint while a slider is dragged.
//
//   cargo xtask build
//   npm install --prefix target/lighthouse lighthouse@12 web-vitals@5
//   node benches/lighthouse.mjs dist FOLDER/lighthouse.json
//
// CHROME names the browser. Medians of five visits without a cache, from a server of its own that
// sends what lies in dist/ compressed, as hosts do. Do not run anything beside it.
import { createServer } from "node:http";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const VISITS = 5;
const [dist, out] = process.argv.slice(2);
if (!dist || !out) {
  console.error("usage: node benches/lighthouse.mjs DIST OUT.json");
  process.exit(2);
}

const require = createRequire(resolve("target/lighthouse/package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: lighthouse } = await load("lighthouse");
const { default: puppeteer } = await load("puppeteer-core");

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".png": "image/png",
};

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://host").pathname;
  const name = path.endsWith("/") ? `${path}index.html` : path;
  const file = join(dist, name);
  const headers = {
    "Content-Type": TYPES[extname(name)] ?? "application/octet-stream",
    "Cache-Control": /-[0-9a-f]{16}\./.test(name)
      ? "public, max-age=31536000, immutable"
      : "no-cache",
    Vary: "Accept-Encoding",
  };
  const packed = /\bbr\b/.test(request.headers["accept-encoding"] ?? "");
  try {
    const body = await (packed ? readFile(`${file}.br`) : Promise.reject()).then(
      (bytes) => {
        headers["Content-Encoding"] = "br";
        return bytes;
      },
      () => readFile(file),
    );
    response.writeHead(200, headers).end(body);
  } catch {
    response.writeHead(404, { "Content-Type": "text/plain" }).end("not here");
  }
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${server.address().port}/`;

const median = (numbers) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
};
const launch = () =>
  puppeteer.launch({
    executablePath: process.env.CHROME ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });

const visits = [];
for (let visit = 0; visit < VISITS; visit++) {
  const browser = await launch();
  const page = await browser.newPage();
  const { lhr } = await lighthouse(url, { logLevel: "error" }, undefined, page);
  const score = (id) => Math.round(100 * lhr.categories[id].score);
  const value = (id) => lhr.audits[id].numericValue;
  const failed = Object.values(lhr.audits)
    .filter((audit) => audit.score !== null && audit.score < 0.9)
    .map((audit) => `${audit.id}: ${audit.displayValue ?? audit.title}`);
  visits.push({
    performance: score("performance"),
    accessibility: score("accessibility"),
    bestPractices: score("best-practices"),
    seo: score("seo"),
    lcpMs: value("largest-contentful-paint"),
    fcpMs: value("first-contentful-paint"),
    tbtMs: value("total-blocking-time"),
    cls: value("cumulative-layout-shift"),
    bytes: value("total-byte-weight"),
    failed,
    version: lhr.lighthouseVersion,
    agent: lhr.environment.hostUserAgent,
  });
  console.log(JSON.stringify(visits.at(-1)));
  await browser.close();
}

// A slider dragged by the pointer and by the keyboard, for as long as a reader would, on the same slow
// phone, as the web-vitals library tells it: Lighthouse's own trace slows each stroke on a canvas.
const { PredefinedNetworkConditions } = await load("puppeteer-core");
const vitals = join(dirname(require.resolve("web-vitals")), "web-vitals.iife.js");
const drags = [];
for (let visit = 0; visit < VISITS; visit++) {
  const browser = await launch();
  const page = await browser.newPage();
  await page.setViewport({ width: 412, height: 823, isMobile: true, hasTouch: false });
  await page.emulateCPUThrottling(4);
  await page.emulateNetworkConditions(PredefinedNetworkConditions["Slow 4G"]);
  await page.evaluateOnNewDocument(await readFile(vitals, "utf8"));
  await page.evaluateOnNewDocument(() => {
    const keep = ({ name, value }) => (globalThis.vitals = { ...globalThis.vitals, [name]: value });
    for (const on of [webVitals.onINP, webVitals.onCLS]) on(keep, { reportAllChanges: true });
  });
  await page.goto(url);
  // What comes near becomes live.
  const scroll = (selector) => page.$eval(selector, (it) => it.scrollIntoView({ block: "center" }));
  await scroll("[data-model=easy_correct] .controls");
  const shown = ".demo[data-demo=easy_correct][data-state=model]";
  await page.waitForSelector(shown, { timeout: 120_000 });
  const slider = `${shown} input.temperature`;
  await scroll(slider);
  const box = await (await page.$(slider)).boundingBox();
  const at = (share) => [box.x + box.width * share, box.y + box.height / 2];
  const rest = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  for (let drag = 0; drag < 4; drag++) {
    await page.mouse.move(...at(0.2));
    await page.mouse.down();
    for (let step = 0; step <= 30; step++) await page.mouse.move(...at(0.2 + 0.02 * step));
    await page.mouse.up();
    // As fast as a key that is held down repeats.
    for (let key = 0; key < 5; key++) {
      await page.keyboard.press("ArrowLeft", { delay: 16 });
      await rest(17);
    }
  }
  await rest(2_000);
  const { INP: inpMs, CLS: cls } = await page.evaluate(() => globalThis.vitals);
  drags.push({ inpMs, cls });
  console.log(JSON.stringify(drags.at(-1)));
  await browser.close();
}
server.close();

const of = (key) => median(visits.map((visit) => visit[key]));
const keys = Object.keys(visits[0]).filter((key) => typeof visits[0][key] === "number");
const result = {
  medians: {
    ...Object.fromEntries(keys.map((key) => [key, of(key)])),
    inpMs: median(drags.map((drag) => drag.inpMs)),
  },
  visits,
  drags,
};
await writeFile(out, `${JSON.stringify(result, null, 2)}\n`);
console.table(result.medians);
