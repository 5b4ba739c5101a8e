//! The pictures of the repository, taken from the built page: not tests of it, so run by name:
//! `GFLOWNET_TOUR_DIST=$PWD/dist cargo test --release --workspace --test browser -- --ignored pictures`.

use super::chrome::Gpu;
use super::{Visit, demo, painted, visit};
use std::fs;
use std::path::{Path, PathBuf};

/// Services that show the picture of a link refuse or forget larger ones.
const MOST_BYTES: u64 = 160_000;

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets")
        .join(name)
}

/// The page with a demo in view and its model drawn.
fn shown(address: &str, name: &str, width: u32, height: u32) -> Option<Visit> {
    let mut visit = visit(Gpu::Denied, |_| {})?;
    visit.chrome.screen(width, height, "light");
    visit.open_at(address);
    visit.shows(name, "model", "table");
    Some(visit)
}

/// The picture of a shared link: the page's name beside the demo of the four modes.
#[test]
#[ignore = "writes assets/og.png"]
fn og() {
    let name = "four_mode_solved";
    let address = "solved?v=1&controls=none&four_mode_solved.count=100000";
    let Some(mut visit) = shown(address, name, 1200, 630) else {
        return;
    };
    visit
        .chrome
        .until(&format!("{}.dataset.sampled === '100000'", demo(name)));
    visit.chrome.eval(&format!(
        "(() => {{
            const figure = {}.querySelector('figure');
            const title = document.querySelector('h1').cloneNode(true);
            const promise = document.createElement('p');
            promise.textContent = 'Continuous GFlowNets, live in your browser: watch one sample, \
                fail, and recover.';
            const words = document.createElement('div');
            words.append(title, promise);
            words.style.cssText = 'flex: 0 0 450px; font-size: 29px; line-height: 1.35';
            title.style.cssText = 'font-size: 58px; line-height: 1.1; margin: 0 0 24px';
            const card = document.createElement('div');
            card.style.cssText = 'position: fixed; inset: 0; z-index: 9; display: flex; \
                align-items: center; gap: 30px; padding: 0 40px; background: var(--paper)';
            figure.style.cssText = 'flex: 1; min-width: 0; margin: 0; width: auto';
            figure.querySelector('canvas').style.cssText = 'width: 100%; height: 400px';
            card.append(words, figure);
            document.body.append(card);
            dispatchEvent(new Event('resize'));
        }})()",
        demo(name)
    ));
    visit
        .chrome
        .until(&painted("document.querySelector('body > div canvas')"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let path = asset("og.png");
    visit.chrome.picture(&path);
    let size = fs::metadata(&path).expect("the picture was written").len();
    assert!(size < MOST_BYTES, "{size} bytes");
}

/// The README's picture: the first demo, as it is on the page.
#[test]
#[ignore = "writes assets/screenshot.png"]
fn screenshot() {
    let name = "easy_correct";
    let address = "happy-case?v=1&easy_correct.count=10000";
    let Some(mut visit) = shown(address, name, 1000, 1000) else {
        return;
    };
    visit
        .chrome
        .until(&format!("{}.dataset.sampled === '10000'", demo(name)));
    visit
        .chrome
        .eval("document.querySelector('#happy-case h2').scrollIntoView()");
    std::thread::sleep(std::time::Duration::from_millis(500));
    visit.chrome.picture(&asset("screenshot.png"));
}
