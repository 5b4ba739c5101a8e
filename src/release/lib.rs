//! The last step of every build of the page: from the folder that Trunk made to one that a host
//! may cache for ever and a browser may keep.
//!
//! [`assemble`] adds what Trunk does not make; [`licences()`] is the text of one such file. [`finish`] gives
//! every file that the page fetches a name with a hash of its content, writes the names into the HTML, and
//! tells the service worker which files make up this version. [`compress()`] puts `.br` and `.gz` beside
//! the files.

#[cfg(feature = "compress")]
mod compress;
mod forward;
mod licences;
mod names;

#[cfg(feature = "compress")]
pub use compress::compress;
pub use forward::forward_part;
pub use licences::licences;
pub use names::{hashed, plain};

use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// The page.
pub const PAGE: &str = "index.html";
/// The service worker, whose address must never change.
pub const WORKER: &str = "sw.js";
/// What hosts that read such a file are told to send with the others.
pub const HEADERS: &str = "_headers";
/// The folder, beside the whole weights, of what sampling needs of them.
pub const FORWARD: &str = "pretrained/forward/";

/// The picture for links to the page.
const PICTURE: &str = "og.png";
/// The variable that says where the folder will be.
pub const ADDRESS: &str = "GFLOWNET_TOUR_ADDRESS";

const WORKER_SOURCE: &str = include_str!("../../assets/sw.js");

/// What a reader may never ask for, unless the HTML names it: the service worker keeps it once it was
/// used, and the rest of the files from the first visit on.
fn is_for_later(plain: &str) -> bool {
    plain.starts_with("lab") || plain.starts_with("pretrained/") && !plain.starts_with(FORWARD)
}

/// What the page fetches, and what its HTML names, gets a hash into its name. The rest lies there for
/// others, under plain names only: the manifest, for one.
fn is_of_the_page(plain: &str, html: &str) -> bool {
    let kinds = [".css", ".js", ".safetensors", ".wasm"];
    kinds.iter().any(|kind| plain.ends_with(kind)) || names_in(html).any(|name| name == plain)
}

/// The weights keep their plain names, too, so that links to them last.
fn is_linked_from_outside(plain: &str) -> bool {
    plain.ends_with(".safetensors") && !plain.starts_with(FORWARD)
}

/// The plain names of the files that the HTML names as `"./NAME"`.
fn names_in(html: &str) -> impl Iterator<Item = String> {
    let parts = html.split("\"./").skip(1);
    parts.map(|part| plain(part.split(['"', '#', '?']).next().unwrap_or_default()))
}

/// What is wrong with a folder.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// A file holds what it must not, as the text says.
    Content(String, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::File(path, why) => write!(f, "{}: {why}", path.display()),
            Error::Content(file, why) => write!(f, "{file}: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

fn content<T>(file: &str, why: impl Into<String>) -> Result<T> {
    Err(Error::Content(file.into(), why.into()))
}

/// Where the article goes in the HTML that Trunk makes.
const ARTICLE: &str = "<!-- article -->";

/// Puts into a folder from Trunk what Trunk did not make: the article into the HTML, and `parts`
/// beside it.
///
/// # Errors
/// When a file cannot be read or written, or the HTML has no place for the article.
pub fn assemble(folder: &Path, article: &Path, parts: &[&str]) -> Result<()> {
    let text =
        |path: &Path| fs::read_to_string(path).map_err(|why| Error::File(path.to_owned(), why));
    let page = folder.join(PAGE);
    let html = text(&page)?;
    if html.matches(ARTICLE).count() != 1 {
        return content(
            PAGE,
            format!("has to have `{ARTICLE}` once, where the article goes"),
        );
    }
    write(&page, html.replace(ARTICLE, &text(article)?).as_bytes())?;
    for part in parts.iter().map(Path::new) {
        let to = folder.join(part.file_name().unwrap_or_default());
        fs::copy(part, to).map_err(|why| Error::File(part.to_owned(), why))?;
    }
    Ok(())
}

/// Turns a folder from Trunk into the folder to deploy. A finished folder may be finished again,
/// after a file in it was changed. The folder is replaced when the new one is whole, and else left
/// as it is.
///
/// # Errors
/// When a file cannot be read or written; when the HTML names a file that is not there or has
/// scripts or styles of its own, which the page's policy forbids; when a script imports by name;
/// when `address`, where the folder will be, is none.
pub fn finish(folder: &Path, address: Option<&str>) -> Result<()> {
    let mut files = read(folder)?;
    if let (Some(address), Some(html)) = (address, files.get_mut(PAGE)) {
        *html = with_address(&String::from_utf8_lossy(html), address)?.into_bytes();
    }
    let finished = finished(files)?;
    let new = with_suffix(folder, "-new");
    let old = with_suffix(folder, "-old");
    for path in [&new, &old] {
        if path.exists() {
            fs::remove_dir_all(path).map_err(|why| Error::File(path.clone(), why))?;
        }
    }
    for (name, bytes) in finished {
        write(&new.join(name), &bytes)?;
    }
    let rename = |from: &Path, to: &Path| {
        fs::rename(from, to).map_err(|why| Error::File(from.to_owned(), why))
    };
    rename(folder, &old)?;
    rename(&new, folder)?;
    fs::remove_dir_all(&old).map_err(|why| Error::File(old, why))
}

fn with_suffix(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    folder.with_file_name(name)
}

/// Writes a file, and the folders above it where they are missing.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |why| Error::File(path.to_owned(), why);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}

/// Files by their names, which have slashes on every system.
type Files = BTreeMap<String, Vec<u8>>;

/// The files of a folder, without what is compressed.
fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for name in list(folder)? {
        if names::is_compressed(&name) {
            continue;
        }
        let path = folder.join(&name);
        let bytes = fs::read(&path).map_err(|why| Error::File(path, why))?;
        files.insert(name, bytes);
    }
    Ok(files)
}

/// The names of a folder's files, in order.
pub fn list(folder: &Path) -> Result<Vec<String>> {
    fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &format!("{name}/"), names)?;
            } else {
                names.push(name);
            }
        }
        Ok(())
    }
    let mut names = Vec::new();
    walk(folder, "", &mut names).map_err(|why| Error::File(folder.to_owned(), why))?;
    names.sort();
    Ok(names)
}

/// [`finish`] on bytes.
fn finished(files: Files) -> Result<Files> {
    let (mut html, mut by_plain) = (None, Files::new());
    for (name, bytes) in files {
        let key = plain(&name);
        match name.as_str() {
            PAGE => html = Some(bytes),
            WORKER | HEADERS => {}
            _ if key.starts_with(FORWARD) => {}
            // Where both names are right, the plain one comes later and counts: it may be newer.
            _ => {
                let earlier = by_plain.insert(key.clone(), bytes);
                if earlier.is_some() && !is_linked_from_outside(&key) {
                    return content(&key, "there are two of it; build the page anew");
                }
            }
        }
    }
    let Some(html) = html.and_then(|html| String::from_utf8(html).ok()) else {
        return content(PAGE, "is missing or no text; this is no build of the page");
    };
    let weights = by_plain.iter().filter(|(name, _)| is_weights(name));
    let mut parts = Files::new();
    for (name, bytes) in weights {
        if let Some(part) = forward_part(bytes).map_err(|why| Error::Content(name.clone(), why))? {
            parts.insert(name.replacen("pretrained/", FORWARD, 1), part);
        }
    }
    by_plain.extend(parts);

    // `trunk serve` puts its live reload into the HTML.
    let (html, reload) = without_live_reload(&html);
    let is_served = reload.is_some();
    by_plain.extend(reload.map(|script| ("reload.js".to_owned(), script.into_bytes())));

    let names: BTreeMap<&str, String> = by_plain
        .iter()
        .filter(|(name, _)| is_of_the_page(name, &html))
        .map(|(name, bytes)| (name.as_str(), hashed(name, bytes)))
        .collect();
    for (name, bytes) in &by_plain {
        check_script(name, bytes)?;
    }
    check_page(&html)?;
    let html = with_names(&html, &names)?;

    let mut map = json!(names);
    if !is_served {
        map[WORKER] = json!(WORKER);
    }
    let version = version(&html, &map.to_string());
    let html = with_map(&html, &map.to_string(), &version)?;
    let worker = if is_served {
        WORKER_SOURCE.to_owned()
    } else {
        worker(&html, &names, &version)?
    };
    let headers = headers(&html, &names)?;

    let mut finished = Files::from([
        (PAGE.to_owned(), html.into_bytes()),
        (WORKER.to_owned(), worker.into_bytes()),
        (HEADERS.to_owned(), headers.into_bytes()),
    ]);
    let names: BTreeMap<String, String> = names
        .into_iter()
        .map(|(plain, name)| (plain.to_owned(), name))
        .collect();
    for (plain, bytes) in by_plain {
        let name = names.get(&plain);
        if name.is_none() || is_linked_from_outside(&plain) {
            finished.insert(plain.clone(), bytes.clone());
        }
        if let Some(name) = name {
            finished.insert(name.clone(), bytes);
        }
    }
    Ok(finished)
}

/// A model of the tour, and not its snapshots.
fn is_weights(plain: &str) -> bool {
    plain
        .strip_prefix("pretrained/")
        .is_some_and(|name| !name.contains('/') && name.ends_with(".safetensors"))
}

/// The HTML with `trunk serve`'s live reload, an inline script, moved to a file of its own. What
/// Trunk would fill in when it sends the HTML is filled in here.
fn without_live_reload(html: &str) -> (String, Option<String>) {
    const BEGIN: &str = "<script>\"use strict\";";
    const END: &str = "</script>";
    let found = html.find(BEGIN).and_then(|begin| {
        let end = begin + html[begin..].find(END)?;
        html[begin..end]
            .contains("__TRUNK_")
            .then_some((begin, end))
    });
    let Some((begin, end)) = found else {
        return (html.to_owned(), None);
    };
    let script = html[begin + "<script>".len()..end]
        .replace("'{{__TRUNK_ADDRESS__}}'", "location.host")
        .replace("{{__TRUNK_WS_BASE__}}", "/");
    let html = format!(
        "{}<script src=\"./reload.js\">{}",
        &html[..begin],
        &html[end..]
    );
    (html, Some(script))
}

/// Refuses what the page's policy would refuse in front of a reader: scripts and styles in the HTML.
fn check_page(html: &str) -> Result<()> {
    if !html.contains("http-equiv=\"Content-Security-Policy\"") {
        return content(PAGE, "has no Content-Security-Policy");
    }
    for (place, _) in html.match_indices('<') {
        let Some(length) = html[place..].find('>') else {
            continue;
        };
        let tag = html[place..=place + length].to_ascii_lowercase();
        let tag = tag.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_data = tag.contains("type=\"application/json\"");
        let is_script = tag.starts_with("<script") && !tag.contains(" src=") && !is_data;
        let is_handler = tag.match_indices(" on").any(|(at, _)| {
            let name = &tag[at + 3..];
            name.find('=')
                .is_some_and(|end| end > 0 && name[..end].chars().all(|c| c.is_ascii_lowercase()))
        });
        if is_script || is_handler || tag.starts_with("<style") || tag.contains(" style=") {
            return content(
                PAGE,
                format!("the policy forbids scripts and styles in the HTML, and there is `{tag}`"),
            );
        }
    }
    Ok(())
}

/// A script that names another one would miss it under its hashed name.
fn check_script(name: &str, bytes: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let imports = ["from './", "from \"./", "import './", "import \"./"];
    match imports.iter().find(|import| text.contains(*import)) {
        Some(import) if name.ends_with(".js") => content(
            name,
            format!("it imports by name (`{import}`); take the name from the page's table"),
        ),
        _ => Ok(()),
    }
}

/// The HTML with every `"./NAME"` under the name that the file now has.
fn with_names(html: &str, names: &BTreeMap<&str, String>) -> Result<String> {
    let mut parts = html.split("\"./");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find('"').unwrap_or(0);
        let (name, rest) = part.split_at(end);
        let (name, fragment) = name.split_at(name.find(['#', '?']).unwrap_or(name.len()));
        let Some(new) = names.get(plain(name).as_str()) else {
            return content(
                PAGE,
                format!("names `./{name}`, which is not in the folder"),
            );
        };
        out += &format!("\"./{new}{fragment}{rest}");
    }
    Ok(out)
}

/// The HTML with the whole address of the picture for links to it: who shows links reads no relative
/// ones.
fn with_address(html: &str, address: &str) -> Result<String> {
    let is_whole = address.starts_with("https://") || address.starts_with("http://");
    if !is_whole || address.contains(['"', '<', '>', '&']) {
        let why =
            format!("is no address of a site, such as https://example.org/tour/: `{address}`");
        return content(ADDRESS, why);
    }
    let address = address.trim_end_matches('/');
    let whole = format!("content=\"{address}/{PICTURE}\"");
    Ok(html.replace(&format!("content=\"{PICTURE}\""), &whole))
}

/// The version of the page: of its HTML, of all files and of the service worker's code.
fn version(html: &str, map: &str) -> String {
    // Of a page that is finished again, without the version that it had.
    let html = with_map(html, map, "").unwrap_or_default();
    let mut digest = Sha256::new();
    for part in [html.as_str(), map, WORKER_SOURCE] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    names::hex(&digest.finalize())
}

/// The HTML with the table of the files, a block of data and no script.
fn with_map(html: &str, map: &str, version: &str) -> Result<String> {
    const BEGIN: &str = "<script type=\"application/json\" id=\"files\"";
    const END: &str = "</script>";
    let found = html.find(BEGIN).and_then(|begin| {
        let end = begin + html[begin..].find(END)? + END.len();
        Some((begin, end))
    });
    let Some((begin, end)) = found else {
        return content(
            PAGE,
            format!("has no `{BEGIN}>`, where the files are listed"),
        );
    };
    Ok(format!(
        "{}{BEGIN} data-version=\"{version}\">{map}{END}{}",
        &html[..begin],
        &html[end..]
    ))
}

/// The service worker with its version and its files.
fn worker(html: &str, names: &BTreeMap<&str, String>, version: &str) -> Result<String> {
    let some = |later: bool| {
        let chosen = names.iter().filter(|(plain, name)| {
            later == (is_for_later(plain) && !html.contains(&format!("\"./{name}\"")))
        });
        json!(chosen.map(|(_, name)| name).collect::<Vec<_>>()).to_string()
    };
    let mut worker = WORKER_SOURCE.to_owned();
    for (constant, empty, value) in [
        ("VERSION", "\"\"", json!(version).to_string()),
        ("CORE", "[]", some(false)),
        ("LATER", "[]", some(true)),
    ] {
        let line = format!("const {constant} = {empty};");
        if !worker.contains(&line) {
            return content(WORKER, format!("has no line `{line}`"));
        }
        worker = worker.replacen(&line, &format!("const {constant} = {value};"), 1);
    }
    Ok(worker)
}

/// What hosts such as Netlify and Cloudflare are told: the page's own policy, and that a name with a
/// hash never holds anything else. Paths are those of a site that is the folder itself.
fn headers(html: &str, names: &BTreeMap<&str, String>) -> Result<String> {
    let policy = policy(html).map_or_else(|| content(PAGE, "has an unread policy"), Ok)?;
    let mut headers = format!(
        "/*\n  Content-Security-Policy: {policy}\n  X-Content-Type-Options: nosniff\n  \
         Referrer-Policy: no-referrer\n"
    );
    for name in names.values() {
        headers += &format!("/{name}\n  Cache-Control: public, max-age=31536000, immutable\n");
    }
    Ok(headers)
}

/// The policy that the HTML states, in one line.
pub fn policy(html: &str) -> Option<String> {
    let (_, rest) = html.split_once("http-equiv=\"Content-Security-Policy\"")?;
    let (_, rest) = rest.split_once("content=\"")?;
    let (policy, _) = rest.split_once('"')?;
    Some(policy.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
