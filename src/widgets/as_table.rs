//! A figure's numbers as a table, for those who do not see the figure or want to know.

use crate::format::{UNKNOWN, fixed};
#[cfg(target_arch = "wasm32")]
use leptos::prelude::*;

/// The table as HTML: columns with their heads, and in each row the first cell as its head. Words and
/// numbers of this page only: nothing is escaped.
pub fn html(caption: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("<table><caption>{caption}</caption><thead><tr>");
    for head in heads {
        text += "<th scope=col>";
        text += head;
        text += "</th>";
    }
    text += "</tr></thead><tbody>";
    for row in rows {
        text += "<tr>";
        for (place, cell) in row.iter().enumerate() {
            let (open, close) = match place {
                0 => ("<th scope=row>", "</th>"),
                _ => ("<td>", "</td>"),
            };
            text += open;
            text += cell;
            text += close;
        }
        text += "</tr>";
    }
    text + "</tbody></table>"
}

/// The rows of columns over equal parts of `range`: the middle of each part, then what each column
/// has there, with `digits` decimals. A column that is shorter has dashes.
pub fn rows_over(range: (f64, f64), columns: &[Vec<f64>], digits: usize) -> Vec<Vec<String>> {
    let count = columns.iter().map(Vec::len).max().unwrap_or(0);
    crate::picture::centres(range, count)
        .enumerate()
        .map(|(row, x)| {
            let cell = |column: &Vec<f64>| {
                let value = column.get(row);
                value.map_or_else(|| UNKNOWN.to_owned(), |&value| fixed(value, digits))
            };
            let cells = columns.iter().map(cell);
            [fixed(x, 2)].into_iter().chain(cells).collect()
        })
        .collect()
}

/// The part that a reader opens, and that has nothing in it before. `table` is made anew when what it
/// reads changes.
#[cfg(target_arch = "wasm32")]
#[component]
pub fn AsTable(
    /// What the numbers are, for the name of the part's place.
    of: String,
    table: impl Fn() -> String + Send + 'static,
) -> impl IntoView {
    let is_open = RwSignal::new(false);
    let toggle = move |ev| {
        let is_it = event_target::<web_sys::Element>(&ev).has_attribute("open");
        is_open.set(is_it);
    };
    let body = move || {
        if is_open.get() {
            table()
        } else {
            String::new()
        }
    };
    view! {
        <details class="as-table" on:toggle=toggle>
            <summary>"The numbers as a table"</summary>
            // On a narrow screen it scrolls, which keys can do only where it has the focus.
            <div class="scroll" tabindex="0" role="group" aria-label=of inner_html=body></div>
        </details>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_heads_for_its_columns_and_rows() {
        let rows = rows_over((0.0, 4.0), &[vec![0.5, -1.0], vec![2.0]], 1);
        assert_eq!(rows, [["1.00", "0.5", "2.0"], ["3.00", "\u{2212}1.0", "–"]]);
        assert_eq!(
            html("what", &["x", "a", "b"], &rows[..1]),
            "<table><caption>what</caption><thead><tr><th scope=col>x</th><th scope=col>a</th>\
             <th scope=col>b</th></tr></thead><tbody><tr><th scope=row>1.00</th><td>0.5</td>\
             <td>2.0</td></tr></tbody></table>"
        );
        assert!(rows_over((0.0, 1.0), &[], 1).is_empty());
    }
}
