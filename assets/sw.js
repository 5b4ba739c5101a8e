// Keeps the visited page working without a connection. The last step of the build writes the three
// constants; as it stands here, without a version, it retires.
//
// The HTML of a version names its files by their content, so that a name never stands for anything
// else, and is kept only when all core files of the version are: no page is ever a mix of versions.
// A visit shows the version that is kept; a newer one is fetched meanwhile, and shown at the next.
const VERSION = "";
const CORE = []; // kept with the version
const LATER = []; // kept once they were used

const SCOPE = new URL("./", location.href).href;
const PREFIX = `gflownet-tour ${SCOPE} `;
const CACHE = PREFIX + VERSION;
const KNOWN = new Set([...CORE, ...LATER]);

const address = (name) => new URL(name, SCOPE).href;
const ours = async () => (await caches.keys()).filter((key) => key.startsWith(PREFIX));

// Keeps a file, if it is what its name says: there the first 16 digits of its SHA-256 stand.
async function keep(cache, name, response) {
  if (!response.ok) throw new Error(`${name}: HTTP ${response.status}`);
  const bytes = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hash = Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0"));
  if (!name.includes(`-${hash.join("")}.`)) throw new Error(`${name} holds something else`);
  const headers = { "Content-Type": response.headers.get("Content-Type") ?? "" };
  await cache.put(address(name), new Response(bytes, { headers }));
}

async function install() {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(SCOPE, { cache: "no-cache" });
    const html = await response.text();
    if (!response.ok || !html.includes(`data-version="${VERSION}"`)) {
      throw new Error("the page on the server is of another version");
    }
    await Promise.all(
      CORE.map(async (name) => {
        const kept = await caches.match(address(name));
        await keep(cache, name, kept ?? (await fetch(address(name))));
      }),
    );
    // Last: a cache that has the page is whole.
    const headers = { "Content-Type": "text/html; charset=utf-8" };
    await cache.put(SCOPE, new Response(html, { headers }));
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

// Deletes older versions. The one before stays: a page of it may just be opening. While any page is
// open, all stay: it may be of any version.
async function clean() {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  if (windows.some((client) => client.url.startsWith(SCOPE))) return;
  const older = (await ours()).filter((key) => key !== CACHE).slice(0, -1);
  await Promise.all(older.map((key) => caches.delete(key)));
}

async function retire() {
  await Promise.all((await ours()).map((key) => caches.delete(key)));
  await self.registration.unregister();
}

async function page(request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(SCOPE)) ?? fetch(request);
}

// A file of any version that is kept: by its name it is the right one.
async function file(name, event) {
  const kept = await caches.match(address(name));
  if (kept) return kept;
  const response = await fetch(event.request);
  if (response.ok) {
    const copy = response.clone();
    const kept = caches.open(CACHE).then((cache) => keep(cache, name, copy));
    event.waitUntil(kept.catch((error) => console.info(String(error))));
  }
  return response;
}

self.addEventListener("install", (event) => {
  // At once: open pages have their files from any version.
  self.skipWaiting();
  if (VERSION) event.waitUntil(install());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(VERSION ? clean().then(() => self.clients.claim()) : retire());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (!VERSION || request.method !== "GET" || !request.url.startsWith(SCOPE)) return;
  const name = request.url.slice(SCOPE.length).replace(/[?#].*/, "");
  if (request.mode === "navigate") {
    if (name === "" || name === "index.html") event.respondWith(page(request));
  } else if (KNOWN.has(name) || /-[0-9a-f]{16}\./.test(name)) {
    event.respondWith(file(name, event));
  }
});
