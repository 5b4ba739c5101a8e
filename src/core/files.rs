//! The names under which the page's files are fetched. A build gives every file a name with a hash
//! of its content; the page's HTML has the table, and this room reads it.

use crate::weights::sha256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the page's files are. The code calls them by plain names, such as `kernels.wasm`.
///
/// ```
/// use gflownet_tour_core::files::Files;
/// let table = r#"{"kernels.wasm":"kernels-0123456789abcdef.wasm"}"#;
/// let files = Files::new("https://host/tour/", table);
/// assert_eq!(files.url("kernels.wasm"), "https://host/tour/kernels-0123456789abcdef.wasm");
/// assert_eq!(files.url("other.wasm"), "https://host/tour/other.wasm");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    folder: String,
    names: BTreeMap<String, String>,
}

impl Files {
    /// Files in the folder at the absolute URL `folder`, which ends with a slash, by the `table`:
    /// a JSON object of names by plain names. What is no such table is an empty one.
    pub fn new(folder: &str, table: &str) -> Self {
        Files {
            folder: folder.to_owned(),
            names: serde_json::from_str(table).unwrap_or_default(),
        }
    }

    /// The name of a file in the folder: what is not in the table is called as it is.
    pub fn name<'a>(&'a self, plain: &'a str) -> &'a str {
        self.names.get(plain).map_or(plain, String::as_str)
    }

    /// The absolute URL of a file.
    pub fn url(&self, plain: &str) -> String {
        format!("{}{}", self.folder, self.name(plain))
    }

    /// Holds what was fetched against the hash in the file's name, where it has one.
    ///
    /// # Errors
    /// A clause for a reader, when it is something else.
    pub fn check(&self, plain: &str, bytes: &[u8]) -> Result<(), String> {
        const DIGITS: usize = 16;
        let name = self.name(plain);
        let hash = &sha256(bytes)[..DIGITS];
        if name == plain || name.contains(&format!("-{hash}.")) {
            return Ok(());
        }
        Err(format!(
            "{plain} has a SHA-256 that begins {hash}, which is not the one in its name {name}: it \
             was damaged on the way; fetch it again"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_its_file_holds() {
        // SHA-256 of nothing: e3b0c44298fc1c14...
        let files = Files::new("", r#"{"a.bin":"a-e3b0c44298fc1c14.bin"}"#);
        assert_eq!(files.check("a.bin", b""), Ok(()));
        let why = files.check("a.bin", b"1").unwrap_err();
        assert!(why.contains("a.bin has") && why.contains("a-e3b0c44298fc1c14.bin"));
        assert_eq!(files.check("b.bin", b"1"), Ok(()), "nothing is said of it");
    }

    #[test]
    fn a_page_without_a_table_has_plain_names() {
        for table in ["", "{}", "[1]", "{\"a\": 1}"] {
            assert_eq!(Files::new("/x/", table).url("a"), "/x/a", "{table}");
        }
    }
}
