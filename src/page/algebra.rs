//! The bug as algebra: what each of the three backward loops asks for, beside what the model that
//! was trained with it does.

use super::demo::model_colour;
use super::share::AddressBar;
use super::study::{Inquiry, StudyPanel};
use gflownet_tour_core::balance::BackwardLoop;
use gflownet_tour_core::experiment::Experiment;
use gflownet_tour_core::message::{Asked, Study};
use gflownet_tour_widgets::as_table::AsTable;
use gflownet_tour_widgets::format::{UNKNOWN, fixed};
use gflownet_tour_widgets::formulas as tex;
use gflownet_tour_widgets::island::Island;
use gflownet_tour_widgets::math::Math;
use gflownet_tour_widgets::palette::Palette;
use gflownet_tour_widgets::picture::within;
use gflownet_tour_widgets::plot::{Sheet, told};
use gflownet_tour_widgets::study::{
    AskedCurves, algebra_question, asked_finding, asked_numbers, loop_title, taught,
};
use leptos::html;
use leptos::prelude::*;
use plotters::prelude::PathElement;
use web_sys::HtmlCanvasElement;

/// The part, closed at first.
#[component]
pub fn BugAlgebra() -> impl IntoView {
    let bar = expect_context::<AddressBar>();
    let chosen = bar.signal(|state, _| &mut state.algebra.counted, 0);
    let is_open = bar.signal(|state, _| &mut state.algebra.is_open, 0);
    let inquiry = Inquiry::new(is_open, move || algebra_question(chosen.get()));
    // The answer's own experiment, so that words and numbers always agree.
    let about = move |tell: &dyn Fn(&Experiment, &Asked) -> String| {
        inquiry.told(|result, study| match study {
            Study::Asked(asked) => Some(tell(Experiment::named(&result.model)?, asked)),
            _ => None,
        })
    };
    let number = move |tell: fn(&Asked) -> f64| {
        move || about(&|_, asked| fixed(tell(asked), 3)).unwrap_or_else(|| UNKNOWN.into())
    };
    let canvas = NodeRef::<html::Canvas>::new();
    inquiry.draw(
        canvas,
        || {},
        move |canvas, palette| {
            inquiry
                .told(|result, study| match study {
                    Study::Asked(asked) => {
                        let experiment = Experiment::named(&result.model)?;
                        Some(draw(canvas, experiment, asked, palette))
                    }
                    _ => None,
                })
                .unwrap_or(Ok(()))
        },
    );
    let shown = Memo::new(move |_| {
        inquiry.told(|result, _| Some(Experiment::named(&result.model)?.backward_loop))
    });
    let finding = move || about(&asked_finding).unwrap_or_default();
    let label = move || {
        about(&|experiment, asked| {
            format!(
                "Densities over x: the target, the density that the loss asks for, and the model. {}",
                asked_finding(experiment, asked)
            )
        })
        .unwrap_or_default()
    };
    let table = move || about(&asked_numbers).unwrap_or_default();
    let modes = taught(BackwardLoop::Correct).modes.len();
    let controls = move || {
        BackwardLoop::ALL
            .map(|counted| {
                view! {
                    <label class="check">
                        <input
                            type="radio"
                            name="bug-loop"
                            value=taught(counted).name
                            prop:checked=move || counted == chosen.get()
                            on:change=move |_| chosen.set(counted)
                        />
                        {loop_title(counted)}
                    </label>
                }
            })
            .collect_view()
    };
    view! {
        <StudyPanel
            island=Island::Algebra
            inquiry
            spoken=Signal::derive(finding)
            controls=move || {
                view! {
                    <fieldset class="switch">
                        <legend>"The backward sum runs over"</legend>
                        {controls()}
                    </fieldset>
                }
            }
        >
            <figure>
                <canvas class="plot short" node_ref=canvas role="img" aria-label=label></canvas>
                <figcaption>
                    <span class="key line target">"target "<Math formula=tex::R_OVER_K /></span>
                    <span class="key line asked">"what the loss asks for"</span>
                    {move || {
                        if shown.get() == Some(BackwardLoop::Correct) {
                            view! { <span class="key line model">"the model, exactly"</span> }
                        } else {
                            view! { <span class="key line bug">"the model, exactly"</span> }
                        }
                    }}
                    <span class="key dash">"modes"</span>
                    <span class="key dot">"start, S₀"</span>
                </figcaption>
            </figure>
            <AsTable of="The numbers of the three densities".to_owned() table />
            <p class="finding">{finding}</p>
            <dl class="numbers">
                <dt><Math formula=tex::LOG_Z />", learned"</dt>
                <dd class="learned-log-z">{number(|asked| asked.log_z)}</dd>
                <dt>
                    {move || match shown.get() {
                        Some(BackwardLoop::CountsForced) => {
                            view! { <Math formula=tex::LN_R_H />", asked for" }.into_any()
                        }
                        Some(BackwardLoop::DropsReal) => {
                            view! { <Math formula=tex::LN_BOUND />", its bound" }.into_any()
                        }
                        _ => view! { <Math formula=tex::LN_R />", asked for" }.into_any(),
                    }}
                </dt>
                <dd class="asked-log-z">{number(|asked| asked.log_z_asked)}</dd>
                <dt><Math formula=tex::LN_K />{format!(" = ln {modes}, the truth")}</dt>
                <dd>{number(|asked| asked.log_z_true)}</dd>
                <dt>"Total variation, model to what the loss asks for"</dt>
                <dd class="to-asked">{number(|asked| asked.to_asked)}</dd>
                <dt>"Total variation, model to target"</dt>
                <dd>{number(|asked| asked.to_target)}</dd>
            </dl>
            {move || {
                (shown.get() == Some(BackwardLoop::DropsReal))
                    .then(|| {
                        view! {
                            <p class="aside">
                                "Without the backward step into "<Math formula=tex::X_1 />
                                ", the right side of the balance does not mention "
                                <Math formula=tex::X_1 />
                                " at all: it asks for an even spread over the whole line, which has no area. So no "
                                <Math formula=tex::Z />
                                " balances it. But the law of the end is not touched, and so the samples stay. What moves is "
                                <Math formula=tex::LOG_Z />
                                ": it grows by the entropy of the first step given the second, and only the largest "
                                <Math formula=tex::SIGMA /> " of the network stops it. The model spends its first step
                                on noise and undoes it with the second."
                            </p>
                        }
                    })
            }}
        </StudyPanel>
    }
}

fn draw(
    canvas: &HtmlCanvasElement,
    experiment: &Experiment,
    asked: &Asked,
    palette: &Palette,
) -> Result<(), String> {
    let Some(sheet) = Sheet::on(canvas, palette)? else {
        return Ok(());
    };
    let range = experiment.plot_range();
    let AskedCurves {
        target,
        asked,
        model,
        top,
    } = AskedCurves::of(experiment, asked);
    let [above, below, left, right] = [28.0, 30.0, 46.0, 10.0].map(|css| sheet.px(css));
    let area = sheet.root.margin(above, below, left, right);
    let plane = Sheet::plane(&area, range, (0.0, top));
    sheet.modes(&plane, experiment.modes, (0.0, top))?;
    for (curve, style) in [
        (&asked, sheet.stroke(palette.flow, 0.45, 7.0)),
        (&target, sheet.stroke(palette.ink, 1.0, 1.5)),
        (
            &model,
            sheet.stroke(model_colour(experiment, palette), 1.0, 2.25),
        ),
    ] {
        for piece in within(curve, range, (0.0, top)) {
            plane.draw(&PathElement::new(piece, style)).map_err(told)?;
        }
    }
    sheet.start(&plane, (experiment.start, 0.0))?;
    sheet.density_axis(&plane, (range.0, top))?;
    sheet.x_axis(&area, range)
}
