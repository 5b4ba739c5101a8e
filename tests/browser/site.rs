//! A static file server for the built page, which can hide or change files.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The page is served under this path, as on a host of many projects: it must use relative paths.
const PREFIX: &str = "/some/project/";

/// A running server; it ends when dropped.
pub struct Site {
    address: SocketAddr,
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
    ended: AtomicBool,
}

impl Site {
    /// Serve the folder `dist` on a free port.
    pub fn serve(dist: &Path) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            dist: dist.to_owned(),
            changes: Mutex::default(),
            strays: Mutex::default(),
            asked: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for connection in listener.incoming().flatten() {
                    if shared.ended.load(Ordering::Relaxed) {
                        break;
                    }
                    let shared = Arc::clone(&shared);
                    // A browser that went away in the middle is none of our business.
                    thread::spawn(move || shared.answer(&connection));
                }
            }
        });
        Site { address, shared }
    }

    /// The page's address.
    pub fn url(&self) -> String {
        format!("http://{}{PREFIX}", self.address)
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
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// Answers one request; a connection has no second one.
    fn answer(&self, connection: &TcpStream) -> io::Result<()> {
        let mut request = String::new();
        let mut reader = BufReader::new(connection);
        while !request.ends_with("\r\n\r\n") {
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
        }
        let target = request.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
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
        let (status, kind, bytes) = match bytes {
            Some(bytes) => ("200 OK", content_type(&file), bytes),
            None => ("404 Not Found", "text/plain", b"not here".to_vec()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            bytes.len()
        );
        let mut connection = connection;
        connection.write_all(head.as_bytes())?;
        connection.write_all(&bytes)
    }
}

fn content_type(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript",
        Some("css") => "text/css",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
