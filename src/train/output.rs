//! Writing a set of files whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A step of the writing that failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}; nothing was changed", path.display())]
pub struct OutputError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OutputError {
    let path = path.to_owned();
    move |source| OutputError { what, path, source }
}

/// Files that wait, written and synced, in a hidden folder inside their target folder, so that
/// putting them in place is one rename each on one file system. Dropping it uncommitted leaves
/// the target as it was.
pub struct Staging {
    target: PathBuf,
    /// The outermost folder that had to be made for `target`, to be taken away again.
    made: Option<PathBuf>,
    folder: Option<TempDir>,
    names: Vec<PathBuf>,
}

impl Staging {
    /// Opens the staging folder inside `target`, making `target` where it is missing: whether it
    /// can be written is known before anything is trained.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(target: &Path) -> Result<Self, OutputError> {
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = target.ancestors().take_while(missing).last();
        let mut staging = Staging {
            target: target.to_owned(),
            made: made.map(Path::to_owned),
            folder: None,
            names: Vec::new(),
        };
        fs::create_dir_all(target).map_err(failed("make the folder", target))?;
        let folder = tempfile::Builder::new()
            .prefix(".train-distill-")
            .tempdir_in(target)
            .map_err(failed("write in the folder", target))?;
        staging.folder = Some(folder);
        Ok(staging)
    }

    /// Stages one file. `name` is relative to the target folder and may hold one folder.
    ///
    /// # Errors
    /// When it cannot be written whole, on a full disk for example.
    pub fn write(&mut self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<(), OutputError> {
        let name = name.as_ref();
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let path = folder.path().join("new").join(name);
        let shown = self.target.join(name);
        let write = || {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(failed("write", &shown))?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Puts every staged file in its place, in the order in which they were written. If one
    /// cannot be, those before it are put back.
    ///
    /// # Errors
    /// When a file cannot be put in place; the target is then as it was.
    pub fn commit(mut self) -> Result<(), OutputError> {
        let Some(folder) = self.folder.take() else {
            return Ok(());
        };
        let mut done: Vec<Placed> = Vec::new();
        for name in &self.names {
            let new = folder.path().join("new").join(name);
            let old = folder.path().join("old").join(name);
            match Placed::place(&new, old, self.target.join(name)) {
                Ok(placed) => done.push(placed),
                Err(error) => {
                    done.into_iter().rev().for_each(Placed::undo);
                    return Err(failed("write", &self.target.join(name))(error));
                }
            }
        }
        self.made = None;
        // The renames are in the folder's own data; a system that cannot sync a folder loses
        // nothing but the guarantee against a power cut.
        let _ = File::open(&self.target).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // First the staging folder, which is inside the folders that were made.
        self.folder.take();
        if let Some(made) = &self.made {
            let folders = self.target.ancestors().take_while(|p| p.starts_with(made));
            // Only empty folders are taken away: `remove_dir` refuses others.
            folders.for_each(|folder| drop(fs::remove_dir(folder)));
        }
    }
}

/// A file in its place, and where the one before it went.
struct Placed {
    target: PathBuf,
    old: Option<PathBuf>,
    made: Option<PathBuf>,
}

impl Placed {
    fn place(new: &Path, old: PathBuf, target: PathBuf) -> io::Result<Self> {
        let mut placed = Placed {
            target,
            old: None,
            made: None,
        };
        if let Some(parent) = placed.target.parent()
            && !parent.exists()
        {
            fs::create_dir(parent)?;
            placed.made = Some(parent.to_owned());
        }
        if placed.target.is_dir() {
            return Err(io::Error::other("a folder is in its place"));
        }
        if placed.target.exists() {
            if let Some(parent) = old.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::hard_link(&placed.target, &old)
                .or_else(|_| fs::copy(&placed.target, &old).map(drop))?;
            placed.old = Some(old);
        }
        match fs::rename(new, &placed.target) {
            Ok(()) => Ok(placed),
            Err(error) => {
                placed.remove_made_folder();
                Err(error)
            }
        }
    }

    /// As well as it can be: there is no one left to hear of a second failure.
    fn undo(self) {
        let _ = match &self.old {
            Some(old) => fs::rename(old, &self.target),
            None => fs::remove_file(&self.target),
        };
        self.remove_made_folder();
    }

    fn remove_made_folder(&self) {
        if let Some(made) = &self.made {
            let _ = fs::remove_dir(made);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file and folder below `root`, with the files' contents.
    fn tree(root: &Path) -> Vec<(PathBuf, Option<String>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.push((path.clone(), None));
                found.extend(tree(&path));
            } else {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, Some(text)));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn files_appear_together_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/b");
        let mut staging = Staging::open(&target).unwrap();
        staging.write("m.txt", b"new").unwrap();
        staging.write("figures/m.svg", b"picture").unwrap();
        assert!(!target.join("m.txt").exists());
        staging.commit().unwrap();
        let files = tree(&target);
        let names: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
        let expected = ["figures", "figures/m.svg", "m.txt"].map(|name| target.join(name));
        assert_eq!(names, expected);
        assert_eq!(files[2].1.as_deref(), Some("new"));
    }

    #[test]
    fn dropped_without_a_commit_it_leaves_no_trace() {
        let root = tempfile::tempdir().unwrap();
        let mut staging = Staging::open(&root.path().join("a/b")).unwrap();
        staging.write("m.txt", b"new").unwrap();
        drop(staging);
        assert_eq!(tree(root.path()), []);
    }

    #[test]
    fn a_file_that_cannot_be_placed_puts_the_others_back() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("first"), "old").unwrap();
        fs::create_dir(root.path().join("third")).unwrap();
        let before = tree(root.path());
        let mut staging = Staging::open(root.path()).unwrap();
        for name in ["first", "figures/second", "third"] {
            staging.write(name, b"new").unwrap();
        }
        let error = staging.commit().unwrap_err().to_string();
        assert!(error.contains("third: a folder is in its place"), "{error}");
        assert_eq!(tree(root.path()), before);
    }

    #[test]
    fn a_folder_below_a_file_is_refused_at_once() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "old").unwrap();
        let before = tree(root.path());
        let error = Staging::open(&root.path().join("file/out")).err().unwrap();
        assert!(
            error.to_string().starts_with("cannot make the folder"),
            "{error}"
        );
        assert_eq!(tree(root.path()), before);
    }
}
