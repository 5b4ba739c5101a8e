// Registers the service worker, once the page has what it needs itself. Without one the page is
// what it is, but for working without a connection: so what fails here is a line on the console.
{
  const LATEST = 15_000; // milliseconds after which the page has had its time
  const name = JSON.parse(document.getElementById("files").textContent)["sw.js"];
  const root = document.documentElement;
  const settled = new Promise((resolve) => {
    const look = () => root.dataset.engine && root.dataset.engine !== "starting" && resolve();
    new MutationObserver(look).observe(root, { attributeFilter: ["data-engine"] });
    addEventListener("load", () => setTimeout(resolve, LATEST));
    look();
  });
  if (name && isSecureContext && navigator.serviceWorker) {
    settled
      .then(() => navigator.serviceWorker.register(new URL(name, document.baseURI)))
      // Browsers look for a newer one by themselves, but when they like.
      .then((registration) => registration.active && registration.update())
      .catch((error) => console.info(`The page is not kept for use without a connection: ${error}`));
  }
}
