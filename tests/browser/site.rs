//! A static file server for the built page, which can hide or change files.

use gflownet_tour_release::{list, plain};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The page is served under this path, as on a host of many projects: it must use relative paths.
const PREFIX: &str = "/some/project/";

/// A running server; it ends when dropped.
pub struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    dist: Mutex<PathBuf>,
    /// What to answer instead of a file, by its path in dist without the hash: other bytes, or 404.
    changes: Mutex<HashMap<String, Option<Vec<u8>>>>,
    /// Files whose answers wait.
    held: Mutex<HashSet<String>>,
    /// Requests for what is not there, other than hidden files.
    strays: Mutex<Vec<String>>,
    /// Every file that was asked for, and its path without the hash.
    asked: Mutex<Vec<(String, String)>>,
    /// What was sent beside the paths: methods other than GET, cookies, bodies.
    sent: Mutex<Vec<String>>,
    is_unreachable: AtomicBool,
    ended: AtomicBool,
}

impl Site {
    /// Serve the folder `dist` on a free port.
    pub fn serve(dist: &Path) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            dist: Mutex::new(dist.to_owned()),
            changes: Mutex::default(),
            held: Mutex::default(),
            strays: Mutex::default(),
            asked: Mutex::default(),
            sent: Mutex::default(),
            is_unreachable: AtomicBool::new(false),
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

    /// Serve another folder from now on, and no changes to it.
    pub fn deploy(&self, dist: &Path) {
        dist.clone_into(&mut self.shared.dist.lock().expect("no panic while held"));
        let mut changes = self.shared.changes.lock().expect("no panic while held");
        changes.clear();
    }

    /// Answer nobody from now on, or everybody again.
    pub fn unreachable(&self, is_unreachable: bool) {
        self.shared
            .is_unreachable
            .store(is_unreachable, Ordering::Relaxed);
    }

    /// Answer 404 for `file` from now on. Files are called by the names that they had before the
    /// build's last step put a hash of the content into them.
    pub fn hide(&self, file: &str) {
        self.change(file, None);
    }

    /// Let those who ask for `file` wait, or no more.
    pub fn hold(&self, file: &str, is_held: bool) {
        let mut held = self.shared.held.lock().expect("no panic while held");
        match is_held {
            true => held.insert(file.to_owned()),
            false => held.remove(file),
        };
    }

    /// Serve what `edit` makes of `file`.
    pub fn edit(&self, file: &str, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let path = self.path(file);
        let bytes = fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        self.change(file, Some(edit(bytes)));
    }

    /// The file on the disk.
    pub fn path(&self, file: &str) -> PathBuf {
        let dist = self.shared.dist.lock().expect("no panic while held");
        let names = list(&dist).expect("the folder can be read");
        let name = names.iter().find(|name| plain(name) == file).expect(file);
        dist.join(name)
    }

    fn change(&self, file: &str, answer: Option<Vec<u8>>) {
        let mut changes = self.shared.changes.lock().expect("no panic while held");
        changes.insert(file.to_owned(), answer);
    }

    /// How often `file` was asked for.
    pub fn times_asked(&self, file: &str) -> usize {
        let asked = self.shared.asked.lock().expect("no panic while held");
        asked.iter().filter(|(_, plain)| plain == file).count()
    }

    /// All files that were asked for since the last time, under their names with hashes.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.shared.asked.lock().expect("no panic while held");
        asked.drain(..).map(|(name, _)| name).collect()
    }

    /// What was sent to this server beside the paths of files.
    pub fn sent(&self) -> Vec<String> {
        self.shared
            .sent
            .lock()
            .expect("no panic while held")
            .clone()
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
    fn is_held(&self, file: &str) -> bool {
        let held = self.held.lock().expect("no panic while held");
        held.contains(file)
    }

    /// Answers one request; a connection has no second one.
    fn answer(&self, connection: &TcpStream) -> io::Result<()> {
        if self.is_unreachable.load(Ordering::Relaxed) {
            return Ok(());
        }
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
        let named = plain(&file);
        {
            let mut asked = self.asked.lock().expect("no panic while held");
            asked.push((file.clone(), named.clone()));
        }
        let lower = request.to_ascii_lowercase();
        let is_more = [
            "\r\ncookie:",
            "\r\ncontent-length:",
            "\r\ntransfer-encoding:",
        ];
        let is_more = is_more.iter().any(|header| lower.contains(header));
        if is_more || !request.starts_with("GET ") || target.contains('?') {
            let mut sent = self.sent.lock().expect("no panic while held");
            sent.push(request.clone());
        }
        while self.is_held(&named) && !self.ended.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
        let change = {
            let changes = self.changes.lock().expect("no panic while held");
            changes.get(&named).cloned()
        };
        let bytes = match change {
            Some(answer) => answer,
            None => {
                let dist = self.dist.lock().expect("no panic while held").clone();
                let outside = file.is_empty() || file.split('/').any(|part| part == "..");
                let found = (!outside).then(|| fs::read(dist.join(&file)).ok());
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
