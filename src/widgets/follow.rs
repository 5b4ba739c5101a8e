//! To be told when a memo changes.

use leptos::prelude::*;

/// Runs what is running now again when `memo` changes. `Memo::track` is not enough: a memo that
/// nobody has read yet has no sources, so nothing ever tells it to look.
pub fn follow<T: Send + Sync + 'static>(memo: Memo<T>) {
    memo.with(|_| ());
}
