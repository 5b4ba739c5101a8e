// Runs a WebAssembly application: the script element's data name its script and its code, and a file
// that it reads, which is put into the page for it. The page itself is started by the HTML, the laboratory
// by the page. What fails is told to the element that `data-place` names, or to the root.
{
  const { script, code, trainings, place } = document.currentScript.dataset;
  const url = (name) => new URL(name, document.baseURI).href;
  // What is there already is painted first, and has the line and the processor to itself; a hidden tab
  // paints nothing.
  const painted = new Promise((go) => {
    if (document.hidden) go();
    setTimeout(go, 2_000);
    new PerformanceObserver(go).observe({ type: "paint", buffered: true });
  });
  // Without it the application runs all the same, and says what it lacks.
  const read = async () => {
    const response = await fetch(url(trainings));
    const element = document.createElement("script");
    element.type = "application/json";
    element.id = "trainings";
    element.textContent = response.ok ? await response.text() : "";
    document.body.append(element);
  };
  painted
    .then(() => {
      const there = trainings ? read().catch(() => {}) : null;
      const fetched = fetch(url(code));
      // Told below, unless the script is the first to fail.
      fetched.catch(() => {});
      return Promise.all([import(url(script)), there]).then(([application]) =>
        application.default({ module_or_path: fetched }),
      );
    })
    .catch((error) => {
      const told = document.getElementById(place) ?? document.documentElement;
      told.dataset.failed = String(error);
      told.dispatchEvent(new Event("failed"));
      console.warn(`${script} could not be run: ${error}`);
    });
}
