// The engine's worker. Behind the # of its address are the names of its script and of its code.
const [script, code] = location.hash
  .slice(1)
  .split(",")
  .map((name) => new URL(name, location.href).href);
try {
  const engine = await import(script);
  await engine.default({ module_or_path: code });
} catch (error) {
  // Outside of the promise, so that the page hears of it.
  setTimeout(() => {
    throw error;
  });
}
