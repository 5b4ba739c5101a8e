//! The flow itself: heat maps of F(x, t) from both ends and of their ratio, a cursor that reads
//! them, and the policies as curves at the cursor's step.

use super::share::AddressBar;
use super::study::{Inquiry, ModelChoice, StudyPanel};
use gflownet_tour_core::address::FLOW_CELLS;
use gflownet_tour_core::experiment::Experiment;
use gflownet_tour_core::message::Study;
use gflownet_tour_widgets::as_table::AsTable;
use gflownet_tour_widgets::dial::{Dial, Scale};
use gflownet_tour_widgets::flow_map::{AXIS, DEPTH, HEADING, LEFT, LIMIT, RIGHT, View};
use gflownet_tour_widgets::format::{fixed, superscript};
use gflownet_tour_widgets::formulas as tex;
use gflownet_tour_widgets::island::Island;
use gflownet_tour_widgets::maps::{draw_maps, step_at};
use gflownet_tour_widgets::math::Math;
use gflownet_tour_widgets::palette::{Palette, Rgb};
use gflownet_tour_widgets::picture::{Curve, centres};
use gflownet_tour_widgets::plot::{DASH, Sheet, told};
use gflownet_tour_widgets::study::{flow_numbers, flow_question, flow_reading, subject};
use leptos::ev::PointerEvent;
use leptos::html;
use leptos::prelude::*;
use plotters::prelude::Text;
use plotters::style::text_anchor::{HPos, VPos};
use std::ops::Range;
use web_sys::HtmlCanvasElement;

/// Cells of the map over the plotted range.
const CELLS: u32 = FLOW_CELLS as u32;

/// Where the cursor is.
#[derive(Clone, Copy)]
pub struct Cursor {
    cell: RwSignal<usize>,
    t: RwSignal<usize>,
}

/// The part, closed at first.
#[component]
pub fn FlowPanel() -> impl IntoView {
    let bar = expect_context::<AddressBar>();
    let chosen = bar.signal(|state, _| &mut state.flow.model, 0);
    let cursor = Cursor {
        cell: bar.signal(|state, _| &mut state.flow.cell, 0),
        t: bar.signal(|state, _| &mut state.flow.t, 0),
    };
    let is_open = bar.signal(|state, _| &mut state.flow.is_open, 0);
    let inquiry = Inquiry::new(is_open, move || flow_question(subject(chosen.get())));
    let with_view = move |tell: &mut dyn FnMut(&'static Experiment, &View)| {
        inquiry.told(|result, study| match study {
            Study::Flow(map) => {
                let experiment = Experiment::named(&result.model)?;
                tell(experiment, &View::of(map, experiment.steps)?);
                Some(())
            }
            _ => None,
        });
    };
    let said = move |tell: &dyn Fn(&'static Experiment, &View) -> String| {
        let mut text = String::new();
        with_view(&mut |experiment, view| text = tell(experiment, view));
        text
    };

    let track = move || {
        cursor.cell.track();
        cursor.t.track();
    };
    let maps = NodeRef::<html::Canvas>::new();
    inquiry.draw(maps, track, move |canvas, palette| {
        let mut outcome = Ok(());
        with_view(&mut |experiment, view| {
            outcome = draw_maps(
                canvas,
                experiment.into(),
                view,
                Some((cursor.cell.get(), cursor.t.get())),
                palette,
            );
        });
        outcome
    });
    let laws = NodeRef::<html::Canvas>::new();
    inquiry.draw(laws, track, move |canvas, palette| {
        let mut outcome = Ok(());
        with_view(&mut |experiment, view| {
            outcome = draw_laws(canvas, experiment, view, cursor, palette);
        });
        outcome
    });
    let point = move |ev: PointerEvent| {
        let Some(canvas) = maps.get_untracked() else {
            return;
        };
        let (width, height) = (canvas.client_width(), canvas.client_height());
        let across = (f64::from(ev.offset_x()) - LEFT) / (f64::from(width) - LEFT - RIGHT);
        let steps = subject(chosen.get_untracked()).steps;
        let t = step_at(f64::from(ev.offset_y()), f64::from(height), steps);
        if let (Some(t), true) = (t, (0.0..1.0).contains(&across)) {
            cursor.cell.set((across * f64::from(CELLS)) as usize);
            cursor.t.set(t);
        }
    };

    let finding = move || said(&|_, view| view.finding());
    let maps_label = move || {
        said(&|experiment, _| {
            format!(
                "Three heat maps over x and the step t, for {}: the forward flow, the backward flow, and the logarithm of their ratio. ",
                experiment.title
            )
        }) + &finding()
    };
    let reading = move || {
        said(&|experiment, view| flow_reading(experiment, view, cursor.cell.get(), cursor.t.get()))
    };
    let laws_label = move || {
        format!(
            "Mean and standard deviation of the policies' steps over x, at step t = {}. {}",
            cursor.t.get(),
            reading()
        )
    };
    let range = move || subject(chosen.get()).plot_range();
    let place_of = move |cell: usize| {
        let (lo, hi) = range();
        lo + (cell as f64 + 0.5) * (hi - lo) / f64::from(CELLS)
    };
    let cell_of = move |x: f64| {
        let (lo, hi) = range();
        let cell = ((x - lo) / (hi - lo) * f64::from(CELLS)).floor();
        (cell.max(0.0) as usize).min(CELLS as usize - 1)
    };
    let note = RwSignal::new(None::<String>);
    // A listener is told of the model, and, once the sliders are moved, of the place.
    let is_read = RwSignal::new(false);
    let spoken = move || match (note.get(), is_read.get()) {
        (Some(note), _) => note,
        (None, true) => reading(),
        (None, false) => finding(),
    };
    let table = move || said(&|experiment, view| flow_numbers(experiment, view, cursor.t.get()));
    let steps = Signal::derive(move || (0.0, subject(chosen.get()).steps as f64));
    view! {
        <StudyPanel
            island=Island::Flow
            inquiry
            spoken=Signal::derive(spoken)
            controls=move || {
                view! { <ModelChoice id="flow-model" chosen before=move |_| is_read.set(false) /> }
            }
        >
            <figure>
                <canvas
                    class="plot maps"
                    node_ref=maps
                    role="img"
                    aria-label=maps_label
                    on:pointermove=point
                    on:pointerdown=point
                ></canvas>
                <figcaption>
                    <span class="scale">
                        {format!("e{} of the highest flow", superscript(-DEPTH as i32))}
                        <span class="ramp flow"></span> "the highest"
                    </span>
                    <span class="scale">
                        {format!("log-ratio \u{2212}{}", fixed(LIMIT, 0))}
                        <span class="ramp ratio"></span> {format!("+{} nats", fixed(LIMIT, 0))}
                    </span>
                    <span class="key faint">"hardly any flow"</span>
                    <span class="key dash">"modes"</span>
                    <span class="key dot">"start, S₀"</span>
                </figcaption>
            </figure>
            <p class="finding">{finding}</p>
            <div class="controls pointer">
                <div class="field">
                    <Dial
                        id="flow-x".to_owned()
                        class="flow-x"
                        name="x"
                        symbol="x"
                        digits=2
                        scale=Scale {
                            ends: (0.0, f64::from(CELLS - 1)).into(),
                            step: 1.0,
                            place: Callback::new(move |x| cell_of(x) as f64),
                            value: Callback::new(move |cell: f64| place_of(cell as usize)),
                        }
                        range=Signal::derive(move || (place_of(0), place_of(CELLS as usize - 1)))
                        value=Signal::derive(move || place_of(cursor.cell.get()))
                        set=Callback::new(move |x| {
                            is_read.set(true);
                            cursor.cell.set(cell_of(x));
                        })
                        note=Callback::new(move |words| note.set(words))
                    >
                        "Cursor at x"
                    </Dial>
                </div>
                <div class="field">
                    <Dial
                        id="flow-t".to_owned()
                        class="flow-t"
                        name="Step t"
                        symbol="t"
                        digits=0
                        scale=Scale::plain(steps, 1.0)
                        range=steps
                        value=Signal::derive(move || cursor.t.get() as f64)
                        set=Callback::new(move |t: f64| {
                            is_read.set(true);
                            cursor.t.set(t.round() as usize);
                        })
                        note=Callback::new(move |words| note.set(words))
                    >
                        "at step t"
                    </Dial>
                </div>
                <p class="reading">{move || note.get().unwrap_or_else(reading)}</p>
            </div>
            <figure>
                <canvas class="plot walk" node_ref=laws role="img" aria-label=laws_label></canvas>
                <figcaption>
                    <span class="key line model">"forward policy, at "<Math formula=tex::STATE /></span>
                    <span class="key line bug dashed">"backward policy"</span>
                    <span class="key line thin">"where its walks hardly come"</span>
                </figcaption>
            </figure>
            <AsTable of="The numbers of the flow at the cursor's step".to_owned() table />
        </StudyPanel>
    }
}

/// One policy at one step, over the cells.
struct Laws {
    colour: Rgb,
    dashes: Option<(f64, f64)>,
    /// (mean, std) of each cell.
    laws: Vec<(f64, f64)>,
    /// Whether its walks come there.
    visited: Vec<bool>,
}

fn draw_laws(
    canvas: &HtmlCanvasElement,
    experiment: &Experiment,
    view: &View,
    cursor: Cursor,
    palette: &Palette,
) -> Result<(), String> {
    let Some(sheet) = Sheet::on(canvas, palette)? else {
        return Ok(());
    };
    let range = experiment.plot_range();
    let t = cursor.t.get();
    let xs: Vec<f64> = centres(range, view.cells).collect();
    let collect = |law: &dyn Fn(usize) -> Option<(f64, f64)>| -> Option<Vec<(f64, f64)>> {
        (0..view.cells).map(law).collect()
    };
    let half = 0.5 * (range.1 - range.0) / view.cells as f64;
    let policies: Vec<Laws> = [
        collect(&|cell| view.forward_law(cell, t)).map(|laws| Laws {
            colour: palette.model,
            dashes: None,
            laws,
            visited: (0..view.cells)
                .map(|cell| match t {
                    0 => (xs[cell] - experiment.start).abs() <= half,
                    t => view.is_visited(cell, t),
                })
                .collect(),
        }),
        collect(&|cell| view.backward_law(cell, t)).map(|laws| Laws {
            colour: palette.bug,
            dashes: Some(DASH),
            laws,
            visited: (0..view.cells)
                .map(|cell| view.is_visited_back(cell, t))
                .collect(),
        }),
    ]
    .into_iter()
    .flatten()
    .collect();

    let visited_means = policies.iter().flat_map(|policy| {
        let laws = policy.laws.iter().zip(&policy.visited);
        laws.filter(|(_, visited)| **visited).map(|(law, _)| law.0)
    });
    let (lo, hi) = visited_means.fold((-0.5f64, 0.5f64), |(lo, hi), mean| {
        (lo.min(mean), hi.max(mean))
    });
    let air = 0.1 * (hi - lo);
    let means = (lo - air, hi + air);
    let stds = (0.0, 1.05);

    let whole = sheet.root.dim_in_pixel();
    let [left, right, heading, axis] = [LEFT, RIGHT, HEADING, AXIS].map(|css| sheet.px(css));
    let each = (whole.1 as i32 - axis) / 2;
    let panes = [
        (0, means, "mean μ of a step (units of x)"),
        (1, stds, "standard deviation σ of a step"),
    ];
    for (index, span, title) in panes {
        let top = index * each + heading;
        let bottom = whole.1 as i32 - (index + 1) * each;
        let area = sheet.root.margin(top, bottom, left, right);
        let plane = Sheet::plane(&area, range, span);
        sheet.modes(&plane, experiment.modes, span)?;
        for policy in &policies {
            let value = |law: &(f64, f64)| if index == 0 { law.0 } else { law.1 };
            let curve: Curve = xs
                .iter()
                .zip(&policy.laws)
                .map(|(&x, law)| (x, value(law)))
                .collect();
            let thin = sheet.stroke(policy.colour, 0.75, 1.0);
            let thick = sheet.stroke(policy.colour, 1.0, 2.25);
            let visited = runs(&policy.visited);
            let strong = visited
                .into_iter()
                .map(|run| (&curve[run], thick, policy.dashes));
            for (points, style, dashes) in [(&curve[..], thin, None)].into_iter().chain(strong) {
                sheet.line(&plane, points, (range, span), style, dashes)?;
            }
        }
        sheet.y_axis(&plane, (range.0, span.1), title, |y| {
            let tenths = 10.0 * y;
            ((tenths - tenths.round()).abs() < 1e-6).then(|| fixed(y, 1))
        })?;
        if index == 1 {
            sheet.x_axis(&area, range)?;
        }
    }
    let style = sheet.text(palette.label, HPos::Right, VPos::Top);
    let corner = (whole.0 as i32 - right, sheet.px(6.0));
    let label = Text::new(format!("t = {t}"), corner, style);
    sheet.root.draw(&label).map_err(told)
}

/// The ranges of neighbouring places that are true; each takes its right neighbour along, so that
/// even one place is a line.
fn runs(flags: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (i, _) in flags.iter().enumerate().filter(|(_, flag)| **flag) {
        let end = (i + 2).min(flags.len());
        match runs.last_mut() {
            Some(run) if run.end > i => run.end = end,
            _ => runs.push(i..end),
        }
    }
    runs
}
