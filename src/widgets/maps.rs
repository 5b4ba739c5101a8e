//! The flow's heat maps on a canvas.

use crate::flow_map::{LEFT, Pane, RIGHT, View, tone_colour};
use crate::format::fixed;
use crate::palette::Palette;
use crate::picture::Landscape;
use crate::plot::{Sheet, solid, told};
use plotters::prelude::Rectangle;
use web_sys::HtmlCanvasElement;

/// The step whose row is `down` CSS pixels below the top of a canvas of this height.
pub fn step_at(down: f64, height: f64, steps: usize) -> Option<usize> {
    Pane::ALL.into_iter().find_map(|pane| {
        let rows = pane.rows(height);
        let row = (rows.end - rows.start) / (steps as f64 + 0.5);
        let up = (rows.end - down) / row + 0.5;
        (rows.contains(&down)).then(|| (up.floor() as usize).min(steps))
    })
}

/// Draws the three maps, and a cursor at (cell, t) where there is one.
///
/// # Errors
/// When the canvas refuses.
pub fn draw_maps(
    canvas: &HtmlCanvasElement,
    landscape: Landscape<'_>,
    view: &View,
    cursor: Option<(usize, usize)>,
    palette: &Palette,
) -> Result<(), String> {
    let Some(sheet) = Sheet::on(canvas, palette)? else {
        return Ok(());
    };
    let range = landscape.plot_range();
    let height = f64::from(canvas.client_height());
    let whole = sheet.root.dim_in_pixel();
    let (left, right) = (sheet.px(LEFT), whole.0 as i32 - sheet.px(RIGHT));
    let steps = view.steps as f64;
    for pane in Pane::ALL {
        let rows = pane.rows(height);
        let (top, bottom) = (sheet.px(rows.start), sheet.px(rows.end));
        let area = sheet
            .root
            .margin(top, whole.1 as i32 - bottom, left, whole.0 as i32 - right);
        // Row t is from t - 1/2 to t + 1/2; below is what is left of the start's.
        let span = (0.0, steps + 0.5);
        let plane = Sheet::plane(&area, range, span);
        let across = |cell: usize| {
            left + ((right - left) as f64 * cell as f64 / view.cells as f64).round() as i32
        };
        let up = |t: f64| bottom - ((bottom - top) as f64 * t / span.1).round() as i32;
        for t in 1..=view.steps {
            let (upper, lower) = (up(t as f64 + 0.5), up(t as f64 - 0.5));
            // Neighbours of one colour are one rectangle.
            let mut first = 0;
            let colour = |cell| tone_colour(palette, pane, view.tone(pane, cell, t));
            for cell in 1..=view.cells {
                if cell == view.cells || colour(cell) != colour(first) {
                    let corners = [(across(first), upper), (across(cell), lower)];
                    let patch = Rectangle::new(corners, solid(colour(first), 1.0).filled());
                    sheet.root.draw(&patch).map_err(told)?;
                    first = cell;
                }
            }
        }
        sheet.modes(&plane, landscape.modes, span)?;
        sheet.start(&plane, (landscape.start, 0.0))?;
        sheet.y_axis(&plane, (range.0, span.1), pane.title(), |t| {
            (t.fract() == 0.0).then(|| fixed(t, 0))
        })?;
        if let Some((cell, t)) = cursor {
            let t = t.min(view.steps) as f64;
            let corners = [
                (across(cell) - sheet.px(3.0), up((t + 0.5).min(span.1))),
                (across(cell + 1) + sheet.px(3.0), up((t - 0.5).max(0.0))),
            ];
            let ring = Rectangle::new(corners, sheet.stroke(palette.ink, 1.0, 1.5));
            sheet.root.draw(&ring).map_err(told)?;
        }
        if pane == Pane::Ratio {
            sheet.x_axis(&area, range)?;
        }
    }
    Ok(())
}
