//! The model of every temperature: its figure, with a slider for β.

use super::demo::{device_name, numbers as numbers_of, sentence};
use super::link::{Draft, Engine, EngineState, ModelState, Slot};
use super::share::{AddressBar, CopyLink};
use super::still::{Framed, Still, Told};
use gflownet_tour_core::address::Control;
use gflownet_tour_core::experiment::{self, DEFAULT_SEED, TEMPERED, TEMPERED_BETAS};
use gflownet_tour_core::message::{BatchResult, DeviceChoice};
use gflownet_tour_widgets::as_table::AsTable;
use gflownet_tour_widgets::dial::{Dial, Scale};
use gflownet_tour_widgets::format::{UNKNOWN, fixed, percent, place, thousands};
use gflownet_tour_widgets::island::{BETA_STEP, TEMPERED_COUNT};
use gflownet_tour_widgets::picture::{
    BINS, CELLS, PATHS, Picture, fingerprint, target_curve, tempered_curve, total_variation,
};
use gflownet_tour_widgets::plot::{Layout, Scene, draw};
use gflownet_tour_widgets::screen::{Screen, once_near};
use gflownet_tour_widgets::spoken::Spoken;
use leptos::html;
use leptos::prelude::*;

/// The model whose steps are scaled, for comparison.
const SCALED: &str = "four_mode_solved";
const LEGEND: &str = "<span class='key line tempered'>its target, tempered</span>\
    <span class='key line model'>the model, exactly</span>\
    <span class='key bar'>samples</span>\
    <span class='key line target'>R, not tempered</span>\
    <span class='key dash'>modes</span>\
    <span class='key dot'>start, S₀</span>\
    <span class='key line path'>trajectories</span>";

/// Asks for a batch whenever `draft` gives another.
fn follow(engine: Engine, draft: impl Fn() -> Option<Draft> + 'static) -> Slot {
    let slot = engine.open();
    Effect::new(move |_| {
        // Asked anew when an engine or its GPU starts.
        let runs = !matches!(
            engine.state.get(),
            EngineState::Starting | EngineState::Gone(_)
        );
        if let (true, Some(draft)) = (runs, draft()) {
            engine.ask(slot, draft);
        }
    });
    slot
}

fn draft(model: &str, count: u32, device: DeviceChoice) -> Draft {
    Draft {
        demo: 0,
        id: 0,
        model: model.into(),
        snapshot: None,
        beta: None,
        sigma_scale: 1.0,
        seed: DEFAULT_SEED,
        count,
        device,
        paths: 0,
        range: TEMPERED.plot_range(),
        bins: BINS,
        cells: CELLS,
    }
}

/// The figure, its controls and its numbers.
#[component]
pub fn Tempered() -> impl IntoView {
    let still = use_context::<Still>();
    let engine = expect_context::<Engine>();
    let screen = expect_context::<Screen>();
    let scaled_place = experiment::place(SCALED);
    let bar = expect_context::<AddressBar>();
    let beta = bar.signal(|state, _| &mut state.beta, 0);
    // Whether the reader did something here.
    let is_used = RwSignal::new(false);
    let note = RwSignal::new(None::<String>);
    let frame = NodeRef::<html::Div>::new();
    let canvas = NodeRef::<html::Canvas>::new();
    Effect::new(move |_| {
        if let Some(frame) = frame.get() {
            once_near(&frame, move || {
                engine.load_tempered();
                if let Some(place) = scaled_place {
                    engine.load(place);
                }
            });
        }
    });
    let is_loaded = Memo::new(move |_| engine.tempered.get() == Some(ModelState::Loaded));
    let has_scaled = Memo::new(move |_| {
        scaled_place.is_some_and(|place| engine.models[place].get() == ModelState::Loaded)
    });
    let slot = follow(engine, move || {
        is_loaded.get().then(|| Draft {
            beta: Some(beta.get()),
            paths: PATHS,
            ..draft(TEMPERED.name, TEMPERED_COUNT, engine.device.get())
        })
    });
    let Slot { batch, failure, .. } = slot;
    let scaled = follow(engine, move || {
        (is_loaded.get() && has_scaled.get()).then(|| Draft {
            sigma_scale: 1.0 / beta.get(),
            ..draft(SCALED, 16, DeviceChoice::Cpu)
        })
    })
    .batch;

    let has_still = still.is_some();
    let still_label = still.as_ref().map(|still| still.label.clone());
    let target = StoredValue::new(target_curve(&TEMPERED));
    let green = move || tempered_curve(&TEMPERED, 1.0 / beta.get());
    Effect::new(move |_| {
        screen.resized.track();
        batch.track();
        let palette = screen.palette.get();
        let Some(canvas) = canvas.get() else { return };
        if has_still && batch.with(Option::is_none) {
            return;
        }
        let picture = batch.with(|batch| {
            batch
                .as_ref()
                .map_or_else(Picture::default, |batch| Picture::of(batch, &TEMPERED))
        });
        let green = green();
        let outcome = target.with_value(|target| {
            let peak = |curve: &[(f64, f64)]| curve.iter().fold(0.0, |p: f64, c| p.max(c.1));
            let scene = Scene {
                landscape: (&TEMPERED).into(),
                layout: Layout::Both,
                target,
                tempered: Some(&green),
                picture: &picture,
                top: Some((1.25 * peak(&green)).max(1.6 * peak(target))),
                model: palette.model,
            };
            draw(&canvas, &scene, &palette)
        });
        if let Err(why) = outcome {
            leptos::logging::warn!("the figure could not be drawn: {why}");
        }
    });

    let has_batch = move || batch.with(Option::is_some);
    let gone = move || match engine.state.get() {
        EngineState::Gone(why) => Some(why),
        _ => None,
    };
    let is_missing = move || {
        let failed = engine
            .tempered
            .with(|state| matches!(state, Some(ModelState::Failed(_))));
        failed || (gone().is_some() && !has_batch())
    };
    let status = move || {
        let trouble = match engine.tempered.get() {
            Some(ModelState::Failed(why)) => {
                Some(format!("This model cannot be shown: {}", sentence(&why)))
            }
            _ => gone().map(|why| {
                format!("The engine does not run ({why}). Reload the page to try again.")
            }),
        };
        let fault = || failure.get().map(|why| sentence(&why));
        match trouble.or_else(|| note.get()).or_else(fault) {
            Some(problem) => (true, problem),
            None if has_batch() => (false, "The trained model tempered is running.".to_owned()),
            None => (false, "The weights are loading.".to_owned()),
        }
    };
    let data = move |tell: fn(&BatchResult) -> String| {
        move || batch.with(|b| b.as_ref().map_or_else(String::new, |b| tell(b)))
    };
    let told = move |tell: fn(&BatchResult) -> f64| {
        batch.with(|b| fixed(b.as_ref().map_or(f64::NAN, |b| tell(b)), 3))
    };
    // As text: every number changes with every batch.
    let readout = move || {
        let target = TEMPERED.target();
        let tempered = target.tempered(1.0 / beta.get());
        let cells = |mass: Option<&[f64]>| -> String {
            let cell = |mode: usize| {
                let mass = mass.and_then(|mass| mass.get(mode));
                let share = mass.map_or_else(|| UNKNOWN.to_owned(), |&m| percent(m, 1));
                format!("<td>{share}</td>")
            };
            (0..TEMPERED.modes.len()).map(cell).collect()
        };
        let scaled = scaled.with(|scaled| match scaled {
            Some(batch) if !batch.placeholder => {
                total_variation(&batch.density, &green(), TEMPERED.plot_range())
            }
            _ => f64::NAN,
        });
        let modes = TEMPERED.modes.iter();
        let heads = modes.map(|mode| format!("<th scope=col>{}</th>", place(mode.mean)));
        let (exact, sampled) = batch.with(|b| match b {
            Some(b) => (cells(Some(&b.mode_mass)), cells(Some(&b.sampled_mode_mass))),
            None => (cells(None), cells(None)),
        });
        format!(
            "<table class=mass><caption>Mass per mode</caption>\
             <thead><tr><th scope=col>mode at</th>{}</tr></thead><tbody>\
             <tr><th scope=row>tempered target</th>{}</tr>\
             <tr><th scope=row>model, exact</th>{exact}</tr>\
             <tr><th scope=row>samples</th>{sampled}</tr></tbody></table>\
             <dl><dt>Total variation to the tempered target, exact</dt><dd class=tv>{}</dd>\
             <dt>The same of <code>{SCALED}</code> with its steps scaled by T</dt>\
             <dd class=scaled>{}</dd>\
             <dt>log Z, learned</dt><dd>{}</dd><dt>log Z, true</dt><dd>{}</dd>\
             <dt>Trajectories sampled</dt><dd>{}</dd></dl>",
            heads.collect::<String>(),
            cells(Some(&tempered.mode_mass())),
            told(|b| b.total_variation),
            fixed(scaled, 3),
            told(|b| b.log_z.unwrap_or(f64::NAN)),
            fixed(tempered.log_partition(), 3),
            data(|b| thousands(b.sampled.into()))(),
        )
    };
    let label = move || {
        if let (Some(label), false) = (&still_label, has_batch()) {
            return label.clone();
        }
        format!(
            "Above, densities over x at β = {}: the model told β, its target R to the power β, and R. Below, its trajectories. Total variation to the target {}, log Z learned {}.",
            fixed(beta.get(), 2),
            told(|b| b.total_variation),
            told(|b| b.log_z.unwrap_or(f64::NAN)),
        )
    };
    let spoken = move || {
        let (is_problem, words) = status();
        let finding = format!(
            "At β = {}: total variation to the tempered target {}.",
            fixed(beta.get(), 2),
            told(|b| b.total_variation),
        );
        let is_due = is_used.get() && has_batch() && !engine.is_busy(slot);
        match (is_problem, is_due) {
            (true, _) => engine.tempered.get().map(|_| words),
            (false, is_due) => is_due.then(|| format!("{words} {finding}")),
        }
    };
    let table = move || {
        let picture = batch.with(|batch| {
            let batch = batch.as_ref();
            batch.map_or_else(Picture::default, |batch| Picture::of(batch, &TEMPERED))
        });
        numbers_of(&TEMPERED, &target.get_value(), Some(&green()), &picture)
    };
    let (lowest, highest) = TEMPERED_BETAS;
    view! {
        <div
            class="demo conditional"
            node_ref=frame
            data-demo=TEMPERED.name
            data-state=move || match (is_missing(), has_batch()) {
                (true, _) => "failed",
                (false, true) => "model",
                (false, false) => "waiting",
            }
            data-beta=move || fixed(beta.get(), 4)
            data-device=data(|b| device_name(b.device).into())
            data-batch=data(|b| b.id.to_string())
            data-tv=data(|b| format!("{:.6}", b.total_variation))
            data-log-z=data(|b| format!("{:.6}", b.log_z.unwrap_or(f64::NAN)))
            data-histogram=data(|b| fingerprint(&b.histogram))
        >
            <div hidden=is_missing>
                <figure>
                    <Framed still=still.clone() drawn=Signal::derive(has_batch)>
                        <canvas class="plot" node_ref=canvas role="img" aria-label=label></canvas>
                    </Framed>
                    <figcaption inner_html=LEGEND></figcaption>
                </figure>
                <div class="controls">
                    <div class="field wide" hidden=move || bar.hides(Control::Beta)>
                        <Dial
                            id="conditional-beta".to_owned()
                            class="beta"
                            name="β"
                            symbol="β"
                            digits=2
                            scale=Scale {
                                ends: (lowest.log2(), highest.log2()).into(),
                                step: BETA_STEP,
                                place: Callback::new(f64::log2),
                                // In as few digits as the address should have.
                                value: Callback::new(|log: f64| (1e3 * log.exp2()).round() / 1e3),
                            }
                            range=TEMPERED_BETAS
                            value=beta
                            set=Callback::new(move |value| {
                                is_used.set(true);
                                beta.set(value);
                            })
                            note=Callback::new(move |words| note.set(words))
                        >
                            "β = 1/T"
                        </Dial>
                    </div>
                    <CopyLink group=TEMPERED.name about="the model told β" />
                </div>
            </div>
            <p class="status" class:problem=move || status().0>
                {move || status().1}
            </p>
            <Spoken words=Signal::derive(spoken) />
            <div hidden=is_missing>
                <Told still drawn=Signal::derive(has_batch)>
                    <div class="readout" inner_html=readout></div>
                </Told>
                <AsTable of="The numbers of the model of every temperature".to_owned() table />
            </div>
        </div>
    }
}
