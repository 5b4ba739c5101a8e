//! A static file server for the built page, which can hide or change files.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use tiny_http::{Header, Request, Response, Server};

/// The page is served under this path, as on a host of many projects: it must use relative paths.
const PREFIX: &str = "/some/project/";

/// A running server; it ends when dropped.
pub struct Site {
    server: Arc<Server>,
    shared: Arc<Shared>,
}

struct Shared {
    dist: PathBuf,
    /// What to answer instead of a file, by its path in dist: other bytes, or 404.
    changes: Mutex<HashMap<String, Option<Vec<u8>>>>,
    /// Requests for what is not there, other than hidden files.
    strays: Mutex<Vec<String>>,
    /// Every file that was asked for.
    asked: Mutex<Vec<String>>,
}

impl Site {
    /// Serve the folder `dist` on a free port.
    pub fn serve(dist: &Path) -> Site {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a free port"));
        let shared = Arc::new(Shared {
            dist: dist.to_owned(),
            changes: Mutex::default(),
            strays: Mutex::default(),
            asked: Mutex::default(),
        });
        thread::spawn({
            let (server, shared) = (server.clone(), shared.clone());
            move || {
                for request in server.incoming_requests() {
                    shared.answer(request);
                }
            }
        });
        Site { server, shared }
    }

    /// The page's address.
    pub fn url(&self) -> String {
        let address = self.server.server_addr();
        format!("http://{address}{PREFIX}")
    }

    /// Answer 404 for `file` from now on.
    pub fn hide(&self, file: &str) {
        self.change(file, None);
    }

    /// Serve what `edit` makes of `file`.
    pub fn edit(&self, file: &str, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let bytes = fs::read(self.shared.dist.join(file)).expect(file);
        self.change(file, Some(edit(bytes)));
    }

    fn change(&self, file: &str, answer: Option<Vec<u8>>) {
        let mut changes = self.shared.changes.lock().expect("no panic while held");
        changes.insert(file.to_owned(), answer);
    }

    /// How often `file` was asked for.
    pub fn times_asked(&self, file: &str) -> usize {
        let asked = self.shared.asked.lock().expect("no panic while held");
        asked.iter().filter(|path| *path == file).count()
    }

    /// Paths that were asked for and are not there.
    pub fn strays(&self) -> Vec<String> {
        self.shared
            .strays
            .lock()
            .expect("no panic while held")
            .clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

impl Shared {
    fn answer(&self, request: Request) {
        let path = request.url().split('?').next().unwrap_or_default();
        let file = match path.strip_prefix(PREFIX) {
            Some("") => "index.html".to_owned(),
            Some(file) => file.to_owned(),
            None => String::new(),
        };
        {
            let mut asked = self.asked.lock().expect("no panic while held");
            asked.push(file.clone());
        }
        let change = {
            let changes = self.changes.lock().expect("no panic while held");
            changes.get(&file).cloned()
        };
        let bytes = match change {
            Some(answer) => answer,
            None => {
                let outside = file.is_empty() || file.split('/').any(|part| part == "..");
                let found = (!outside).then(|| fs::read(self.dist.join(&file)).ok());
                let found = found.flatten();
                if found.is_none() {
                    let mut strays = self.strays.lock().expect("no panic while held");
                    strays.push(path.to_owned());
                }
                found
            }
        };
        // A browser that went away in the middle is none of our business.
        let _ = match bytes {
            Some(bytes) => request.respond(
                Response::from_data(bytes)
                    .with_header(content_type(&file))
                    .with_header(header("Cache-Control", "no-store")),
            ),
            None => request.respond(Response::from_string("not here").with_status_code(404)),
        };
    }
}

fn content_type(file: &str) -> Header {
    let value = match file.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript",
        Some("css") => "text/css",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    };
    header("Content-Type", value)
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("a plain ASCII header")
}
