//! What is heard and not seen: the one polite status of a demo.

use leptos::prelude::*;
use std::time::Duration;

/// How long words have to rest before they are said: longer than a hand rests in a drag.
const REST: Duration = Duration::from_millis(700);

/// Says `words` when they have rested for a moment, so that a drag is told by its end. None says
/// nothing: what was said before stands until there is something to say.
#[component]
pub fn Spoken(#[prop(into)] words: Signal<Option<String>>) -> impl IntoView {
    let said = RwSignal::new(String::new());
    let timer = StoredValue::new(None::<TimeoutHandle>);
    let stop = move || {
        if let Some(timer) = timer.try_get_value().flatten() {
            timer.clear();
        }
    };
    Effect::new(move |_| {
        words.with(|_| ());
        stop();
        let say = move || {
            let words = words.try_get_untracked().flatten();
            if let Some(words) = words.filter(|words| said.with_untracked(|said| said != words)) {
                said.set(words);
            }
        };
        timer.set_value(set_timeout_with_handle(say, REST).ok());
    });
    on_cleanup(stop);
    view! { <p class="unseen" role="status">{said}</p> }
}
