// Runs a WebAssembly application: the script element's data name its script and its code. The page
// itself is started by the HTML, the laboratory by the page. What fails is told to the element that
// `data-place` names, or to the root.
{
  const { script, code, place } = document.currentScript.dataset;
  const url = (name) => new URL(name, document.baseURI).href;
  // What is there already is painted first, and has the line to itself; a hidden tab paints nothing.
  const painted = new Promise((go) => {
    requestAnimationFrame(() => setTimeout(go));
    setTimeout(go, 300);
  });
  painted
    .then(() => {
      const fetched = fetch(url(code));
      // Told below, unless the script is the first to fail.
      fetched.catch(() => {});
      return import(url(script)).then((application) => application.default({ module_or_path: fetched }));
    })
    .catch((error) => {
      const told = document.getElementById(place) ?? document.documentElement;
      told.dataset.failed = String(error);
      told.dispatchEvent(new Event("failed"));
      console.warn(`${script} could not be run: ${error}`);
    });
}
