//! The text. Each section has one idea, one demo or figure, one thing to try, and one sentence on
//! what was learned. No number about a model is written here by hand: they come from [`numbers`].

use super::algebra::BugAlgebra;
use super::demo::{Demo, Math, model_colour};
use super::flow_panel::FlowPanel;
use super::format::{enumeration, fixed, place, spelled, thousands};
use super::formulas as tex;
use super::history::{History, Seeds};
use super::laboratory::Laboratory;
use super::numbers;
use super::picture::{PATHS, Picture, chance, target_curve, total_variation};
use super::plot::{Layout, Scene, draw};
use super::predict::Predict;
use super::screen::Screen;
use super::solved::Solved;
use super::temperature::TemperatureFigure;
use super::tempered::Tempered;
use super::trace_panel::TracePanel;
use gflownet_tour_core::experiment::{BATCH, EXPERIMENTS, Experiment, HIDDEN};
use gflownet_tour_core::message::PLACEHOLDER_STD;
use gflownet_tour_core::policy::{MAX_STD, MIN_STD, Policy};
use leptos::html;
use leptos::prelude::*;

/// The sections' ids and titles, in order.
pub const SECTIONS: [(&str, &str); 10] = [
    ("setup", "The setup"),
    ("happy-case", "A happy case"),
    ("pedagogical-bug", "The pedagogical bug"),
    ("mode-collapse", "Mode collapse"),
    ("off-policy", "Off-policy exploration"),
    ("harder-case", "A harder case"),
    ("lie-detector", "log Z as the lie detector"),
    ("temperature", "On temperature"),
    ("lab", "Train one here"),
    ("colophon", "Colophon"),
];

// Places in the experiments' table.
const EASY: usize = 0;
const BUGGY: usize = 1;
const ON_POLICY: usize = 2;
const OFF_POLICY: usize = 3;
const FOUR: usize = 4;

fn name(index: usize) -> &'static str {
    EXPERIMENTS[index].name
}

#[component]
fn Section(number: usize, children: Children) -> impl IntoView {
    let (id, title) = SECTIONS[number];
    let heading = format!("{id}-title");
    view! {
        <section id=id aria-labelledby=heading.clone()>
            <h2 id=heading.clone()>{title}</h2>
            {children()}
        </section>
    }
}

/// A formula on a line of its own, in parts that a narrow screen puts below each other.
#[component]
fn Formula<const N: usize>(parts: [&'static str; N]) -> impl IntoView {
    let parts = parts.map(|part| view! { <span inner_html=part></span> });
    view! { <div class="formula">{parts.into_iter().collect_view()}</div> }
}

#[component]
fn Try(children: Children) -> impl IntoView {
    view! {
        <p class="try">
            <b>"Try this. "</b>
            {children()}
        </p>
    }
}

#[component]
fn Learned(children: Children) -> impl IntoView {
    view! {
        <p class="learned">
            <b>"What was learned. "</b>
            {children()}
        </p>
    }
}

#[component]
pub fn Setup() -> impl IntoView {
    let experiment = &EXPERIMENTS[EASY];
    let picture = Picture::placeholder(experiment);
    let untrained = total_variation(
        &picture.density,
        &target_curve(experiment),
        experiment.plot_range(),
    );
    let modes = experiment.modes.len();
    let weights = Policy::<f32>::parameter_count(HIDDEN);
    view! {
        <Section number=0>
            <p>
                "Somebody gives you a function " <Math formula=tex::R_OF_X />
                " that is never negative; call it the reward. You may ask for its value at any point,
                and that is all you may ask. You want samples: points that turn up in proportion to "
                <Math formula=tex::R_OF_X />
                ", so that a point with twice the reward comes twice as often."
            </p>
            <p>
                "If you knew the area " <Math formula=tex::Z />
                " under the whole curve, you could divide by it and have a probability density. But you
                do not. In the problems that GFlowNets were made for, a point is a molecule or a tree,
                there are more of them than anyone can list, and adding up the reward of all of them is
                out of the question."
            </p>
            <p>
                "Here a point is a number on a line, so that everything can be checked. The reward is a
                sum of bell curves,"
            </p>
            <Formula parts=[tex::REWARD, tex::AREA] />
            <p>
                "with means " <Math formula=tex::M_K /> " and variances " <Math formula=tex::V_K />
                ". Each bell has area one, so the true " <Math formula=tex::Z />
                " is just their number. The first landscape has " {spelled(modes)} " of them, at "
                {place(experiment.modes[0].mean)} " and " {place(experiment.modes[1].mean)}
                ", and " <Math formula=tex::LOG_Z /> " = ln " {modes} " = "
                {fixed(experiment.target().log_partition(), 3)}
                ". No model on this page is told that."
            </p>
            <h3>"Walk, do not jump"</h3>
            <p>
                "A GFlowNet does not choose its point at once. It walks there. Every trajectory begins
                in the same state, S₀, at " <Math formula=tex::S0 /> ", and takes "
                {spelled(experiment.steps)} " steps:"
            </p>
            <Formula parts=[tex::STEP, tex::ACTION] />
            <p>
                "Each step is a draw from a normal distribution. Its mean " <Math formula=tex::MU />
                " and its standard deviation " <Math formula=tex::SIGMA />
                " come from a small neural network that looks at the state: where the walk is, and how
                many steps it has made. The point where the last step lands is the sample. This network
                is called the forward policy, " <Math formula=tex::P_F /> "; ours has "
                {thousands(weights as u64)} " weights, and its " <Math formula=tex::SIGMA />
                " stays between " {MIN_STD.to_string()} " and " {fixed(MAX_STD, 0)} "."
            </p>
            <PlaceholderFigure experiment picture />
            <p>
                "The figure shows a policy that knows nothing: mean 0 and standard deviation "
                {PLACEHOLDER_STD.to_string()} " at every step. In the lower plot " {PATHS}
                " of its walks start at S₀ and climb, step by step, to the axis. In the upper plot the "
                <span class="c-sample">"pale blue bars"</span>
                " are a histogram of where walks end. The " <span class="c-model">"blue line"</span>
                " is the same thing without chance: not estimated from samples, but computed, by pushing
                a probability density through all the steps. The " <span class="c-ink">"ink line"</span>
                " is the target. Blue and ink have nothing to do with each other yet."
            </p>
            <p>"How far apart they are we measure by total variation,"</p>
            <Formula parts=[tex::TOTAL_VARIATION] />
            <p>
                "the share of the samples that are in the wrong place: 0 is perfect, 1 means no overlap at
                all. For the policy that knows nothing it is " {fixed(untrained, 2)} "."
            </p>
            <h3>"Balance"</h3>
            <p>
                "What should the steps be? Take a second network that walks backward. Standing at "
                <Math formula=tex::X_T /> ", this backward policy " <Math formula=tex::P_B />
                " gives a distribution over the place from which the walk came. Now the story of one walk
                can be told in two ways. Forward: begin at S₀ with the whole area "
                <Math formula=tex::Z /> " and follow " <Math formula=tex::P_F />
                ". Backward: begin at the end, with the reward found there, and follow "
                <Math formula=tex::P_B /> ". Trajectory balance asks that both give every walk the same
                weight:"
            </p>
            <Formula parts=[tex::BALANCE, tex::BALANCE_RIGHT] />
            <p>
                "Suppose that it holds, and add up both sides over all walks that end at the same "
                <Math formula=tex::X /> ". On the right the backward probabilities add up to one. What is
                left is " <Math formula=tex::SUMMED />
                ": the walks end at each point in proportion to its reward, and the area that nobody
                could compute has come out on the way."
            </p>
            <p>
                "So training is this. Draw " {BATCH} " walks. For each, take the logarithm of both sides
                and square the difference,"
            </p>
            <Formula parts=[tex::LOSS] />
            <p>"where for the walk " <Math formula=tex::TAU /></p>
            <Formula parts=[tex::FORWARD_SUM, tex::BACKWARD_SUM] />
            <p>
                "then move both networks, and the one number " <Math formula=tex::LOG_Z />
                ", a little downhill on the average, and repeat. GFlowNets are due to "
                <Cite key="bengio">"Bengio et al. (2021)"</Cite> ", trajectory balance to "
                <Cite key="malkin">"Malkin et al. (2022)"</Cite> "; that it is sound for continuous steps was
                shown by " <Cite key="lahlou">"Lahlou et al. (2023)"</Cite>
                ". The experiments follow a " <Cite key="torchgfn">"notebook of torchgfn"</Cite> "."
            </p>
            <Try>
                "Put a finger on a walk that stands at 0.4 after three steps. Which way should its next
                step lean, to end under one of the bells? Would you answer the same after four steps?
                That is what the network has to know, and why it is told the time."
            </Try>
            <Learned>
                "Sampling in proportion to a reward becomes a matter of balance between two walks, and
                balance can be checked one walk at a time."
            </Learned>
        </Section>
    }
}

#[component]
fn PlaceholderFigure(experiment: &'static Experiment, picture: Picture) -> impl IntoView {
    let screen = expect_context::<Screen>();
    let canvas = NodeRef::<html::Canvas>::new();
    let target = target_curve(experiment);
    let label = format!(
        "Above, densities over x: the target has modes at {} and {}; the placeholder policy's walks end around {}, where the target is low. Below, its walks from there.",
        place(experiment.modes[0].mean),
        place(experiment.modes[1].mean),
        place(experiment.start),
    );
    Effect::new(move |_| {
        screen.resized.track();
        let palette = screen.palette.get();
        let Some(canvas) = canvas.get() else { return };
        let scene = Scene {
            landscape: experiment.into(),
            layout: Layout::Both,
            target: &target,
            tempered: None,
            picture: &picture,
            top: None,
            model: model_colour(experiment, &palette),
        };
        if let Err(why) = draw(&canvas, &scene, &palette) {
            leptos::logging::warn!("the figure could not be drawn: {why}");
        }
    });
    view! {
        <figure class="placeholder">
            <canvas class="plot" node_ref=canvas role="img" aria-label=label></canvas>
            <figcaption>
                <span class="key line target">"target"</span>
                <span class="key line model">"placeholder policy, exactly"</span>
                <span class="key bar">"samples"</span>
                <span class="key dash">"modes"</span>
                <span class="key dot">"start, S₀"</span>
                <span class="key line path">"trajectories"</span>
            </figcaption>
        </figure>
    }
}

#[component]
pub fn HappyCase() -> impl IntoView {
    let experiment = &EXPERIMENTS[EASY];
    view! {
        <Section number=1>
            <p>
                "Here is the same walk after " {thousands(experiment.iterations as u64)}
                " rounds of training on the two bells. The walks now fan out and bend, and the "
                <span class="c-model">"blue line"</span> " lies close to the "
                <span class="c-ink">"ink"</span> "."
            </p>
            <Demo index=EASY />
            <p>
                "Total variation has come down to " {numbers::total_variation(name(EASY))}
                ": about " {numbers::misplaced(name(EASY))} " of the samples are in the wrong place. The two
                modes get " {numbers::masses(name(EASY))} " of the walks; half each would be right. And the
                one number that no sample shows, " <Math formula=tex::LOG_Z /> ", was learned as "
                {numbers::log_z(name(EASY))} ", where the truth is " {numbers::log_z_true(name(EASY))}
                ". Nobody gave the model a single sample of the target. It only ever asked for the reward
                at places where its own walks had ended."
            </p>
            <Try>
                "Press Resample a few times. The bars change, the blue line does not. Then choose 100,000
                trajectories: the bars settle on the blue line, not on the ink. The gap that remains is the
                model's error. What went away was chance."
            </Try>
            <Learned>
                "Balance alone, enforced on one's own walks, is enough to learn both where the reward is and
                how much of it there is."
            </Learned>
        </Section>
    }
}

#[component]
pub fn Bug() -> impl IntoView {
    let steps = EXPERIMENTS[BUGGY].steps;
    view! {
        <Section number=2>
            <p>
                "Look again at the loss: the backward sum begins at " <Math formula=tex::T_IS_2 />
                ". Why not at 1? Because the last step backward, from " <Math formula=tex::X_1 /> " to "
                <Math formula=tex::X_0 />
                ", is no choice. Every walk began at S₀, so there is only one place to return to. Its probability is one, and the logarithm of
                one is zero. But a loop over all " {spelled(steps)} " steps looks tidier, and it is easily written:"
            </p>
            <Formula parts=[tex::BUGGY_SUM, tex::RIGHT_SUM] />
            <p>
                "This model is trained like the last one, except for that index. The forced step is now
                scored as if the backward walk could have landed anywhere and happened to hit S₀."
            </p>
            <Predict
                name="bug"
                question="One index is wrong. What will it do to training?".into()
                answers=[
                    (
                        "The loss stays high: one sees that something is wrong",
                        format!(
                            "It does not. The loss goes down to {}, below the correct model's {}, and nothing in it objects.",
                            numbers::loss(name(BUGGY)),
                            numbers::loss(name(EASY)),
                        ),
                    ),
                    (
                        "The loss falls, and the samples are nearly right",
                        format!(
                            "The loss does fall. But total variation comes out at {}, where the correct model has {}.",
                            numbers::total_variation(name(BUGGY)),
                            numbers::total_variation(name(EASY)),
                        ),
                    ),
                    (
                        "The loss falls even lower, and the samples are wrong",
                        format!(
                            "So it is: the loss is {}, the correct model's is {}, and total variation is {}.",
                            numbers::loss(name(BUGGY)),
                            numbers::loss(name(EASY)),
                            numbers::total_variation(name(BUGGY)),
                        ),
                    ),
                ]
            />
            <Demo index=BUGGY />
            <p>
                "The samples are wrong, and not by a little: total variation is "
                {numbers::total_variation(name(BUGGY))} ", and the two equal modes get "
                {numbers::masses(name(BUGGY))} ". " <Math formula=tex::LOG_Z /> " came out as "
                {numbers::log_z(name(BUGGY))} " instead of " {numbers::log_z_true(name(BUGGY))}
                ". The loss, though, went down to " {numbers::loss(name(BUGGY))}
                ", lower than the correct model's " {numbers::loss(name(EASY))} "."
            </p>
            <p>
                "Nothing failed to train. The model solved another problem, and we can write down which.
                Add up both sides of the balance as before. On the right there is now one more factor, the
                density " <Math formula=tex::FORCED />
                " that the backward network happens to give to S₀, and it does not add up to one. What remains is"
            </p>
            <Formula parts=[tex::RETARGETED, tex::RETARGETED_BY, tex::RETARGETED_AREA] />
            <p>
                <Math formula=tex::H_OF_X /> " is that density, averaged over the backward walks from "
                <Math formula=tex::X />
                ". Where they come home well aimed it is large, where they come home scattered it is small,
                and the sampler follows the product of " <Math formula=tex::R /> " and "
                <Math formula=tex::H />
                ". The learned area is the area of that product. It is not even a
                number without units: a density is measured per length, so "
                <Math formula=tex::LOG_Z /> " would come out differently if " <Math formula=tex::X />
                " were measured in other units."
            </p>
            <BugAlgebra />
            <Try>
                "Compare the " <span class="c-bug">"vermilion line"</span>
                " with the ink. If you had only seen the histogram, and did not know the target, what would
                have told you that something is wrong? Then find the two values of "
                <Math formula=tex::LOG_Z /> " in the table."
            </Try>
            <Learned>
                "A small loss says that the two sides of an equation agree. It does not say that it was the
                right equation. Here " <Math formula=tex::LOG_Z /> " gives the bug away, because for once
                we know it."
            </Learned>
        </Section>
    }
}

#[component]
pub fn Collapse() -> impl IntoView {
    let modes = EXPERIMENTS[ON_POLICY].modes;
    let rows = [EASY, BUGGY, ON_POLICY]
        .map(|index| {
            let experiment = &EXPERIMENTS[index];
            view! {
                <tr>
                    <th scope="row">{experiment.title}</th>
                    <td>{numbers::loss(experiment.name)}</td>
                    <td>{numbers::log_z(experiment.name)}</td>
                    <td>{numbers::log_z_true(experiment.name)}</td>
                    <td>{numbers::total_variation(experiment.name)}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <Section number=3>
            <p>
                "Move the two bells apart, to " {place(modes[0].mean)} " and " {place(modes[1].mean)}
                ". Everything else is as in the happy case, and the code has no bug."
            </p>
            <Predict
                name="collapse"
                question="Where will the walks end, after training?".into()
                answers=[
                    (
                        "Half at each bell, as before",
                        format!(
                            "Not this time: the masses of the two modes are {}.",
                            numbers::masses(name(ON_POLICY)),
                        ),
                    ),
                    (
                        "Nearly all at one bell",
                        format!(
                            "So it is: the masses of the two modes are {}.",
                            numbers::masses(name(ON_POLICY)),
                        ),
                    ),
                    (
                        "Spread out between the two",
                        format!(
                            "There the reward is close to nothing, and training sees that. The masses of the two modes are {}.",
                            numbers::masses(name(ON_POLICY)),
                        ),
                    ),
                ]
            />
            <Demo index=ON_POLICY />
            <p>
                "One mode has everything: the model's masses are " {numbers::masses(name(ON_POLICY))}
                ", and total variation is " {numbers::total_variation(name(ON_POLICY))}
                ", which is what missing one of two equal modes costs. The model trains on walks that it
                draws itself. Early on, a few more of them ended at one bell than at the other; so the policy
                learned to end there, and the next walks did so even more. Soon none ended anywhere else,
                and a place where no walk ends is never asked for its reward."
            </p>
            <p>"Now look at what training saw."</p>
            <table class="wide">
                <caption>"The end of training, and the truth"</caption>
                <thead>
                    <tr>
                        <th scope="col">"model"</th>
                        <th scope="col">"loss"</th>
                        <th scope="col">"log Z, learned"</th>
                        <th scope="col">"log Z, true"</th>
                        <th scope="col">"total variation"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
            <p>
                "The collapsed model has the lowest loss of all. That is no accident: the loss is an average
                over the model's own walks, and on those everything is in balance. The missing bell costs
                nothing, because nobody goes there to pay."
            </p>
            <TracePanel />
            <p>
                "But " <Math formula=tex::LOG_Z /> " knows. Sitting on one bell of area one, the model learned "
                {numbers::log_z(name(ON_POLICY))} ", and ln 1 is 0, where ln " {modes.len()} " = "
                {numbers::log_z_true(name(ON_POLICY))}
                " is true. This is more than a coincidence. On the model's own walks, the loss is least when "
                <Math formula=tex::LOG_Z /> " is"
            </p>
            <Formula parts=[tex::GAP, tex::GAP_RIGHT] />
            <p>
                "so it can only fall short of the truth, and by exactly the divergence (in nats) between the
                model's walks and balanced ones. When you do not know the true value, you can still compare
                runs: of two that were trained on the right loss, the one with the smaller "
                <Math formula=tex::LOG_Z /> " is further from balance, and may have missed a mode."
            </p>
            {numbers::has_seeds(name(ON_POLICY))
                .then(|| {
                    view! {
                        <p>
                            "And it is no accident of one seed. Trained with "
                            {numbers::seeds(name(ON_POLICY))} " seeds, "
                            {numbers::collapsed(name(ON_POLICY))} " collapsed: "
                            {numbers::fallen(name(ON_POLICY)).0} " onto the left bell and "
                            {numbers::fallen(name(ON_POLICY)).1} " onto the right."
                        </p>
                    }
                })}
            <Try>
                "Press Play next to the slider of the training, and watch which bell the first walks find.
                How long does the other one live? Then drag the temperature up to 3, so that every step is three times as noisy, and watch the
                missing mode in the table of masses. Whatever arrives there arrives by accident: nothing
                that the model learned leads to it."
            </Try>
            <Learned>
                "Trained on its own walks, a sampler can be perfectly balanced on the half of the world that
                it knows. The loss does not show the other half; the area does."
            </Learned>
        </Section>
    }
}

#[component]
pub fn OffPolicy() -> impl IntoView {
    view! {
        <Section number=4>
            <p>
                "Balance must hold for every walk, not only for likely ones. So the walks that we train on
                may come from anywhere. The simplest other source is the policy itself with more noise:
                while drawing walks for training, add " <Math formula=tex::EXTRA />
                " to each standard deviation,"
            </p>
            <Formula parts=[tex::BEHAVIOUR] />
            <p>
                "and let it fall in a straight line from 2 at the first round to 0 at the last. The loss does not
                know of it: " <Math formula=tex::P_F />
                " in the loss is always the learned policy, without the extra. This is what off-policy
                means. The target is the one on which the last model collapsed."
            </p>
            <Demo index=OFF_POLICY />
            <p>
                "Both modes are there, with " {numbers::masses(name(OFF_POLICY))}
                " of the mass, and total variation is " {numbers::total_variation(name(OFF_POLICY))}
                ". The wide early walks stumbled on both bells before the policy had made up its mind, and by
                the time they grew narrow it had learned to serve both."
                {numbers::has_seeds(name(OFF_POLICY))
                    .then(|| {
                        view! {
                            " It is no guarantee: " {numbers::collapsed(name(OFF_POLICY))}
                            " runs, each from a seed of its own, lost a mode all the same."
                        }
                    })}
            </p>
            <p>
                "Not all is well: " <Math formula=tex::LOG_Z /> " is " {numbers::log_z(name(OFF_POLICY))}
                ", short of the truth by " {numbers::log_z_gap(name(OFF_POLICY))}
                ". The shortfall of the last section counts whole walks, and these are further from balance
                than their end points let on."
            </p>
            <FlowPanel />
            <Try>
                "Press Play next to the slider of the training: both modes live, while the noise runs out.
                Then lower the temperature slowly from 1 to 0.05 and watch the walks. The same random numbers are
                used at every temperature, so each walk keeps its identity. At which step do they decide
                which way to go, and how much noise does it take to decide?"
            </Try>
            <Learned>
                "Exploration costs one term in the sampler and none in the loss, and it turns a collapse into
                a working model."
            </Learned>
        </Section>
    }
}

#[component]
pub fn Harder() -> impl IntoView {
    let experiment = &EXPERIMENTS[FOUR];
    let (starved, favoured) = numbers::extremes(name(FOUR));
    let places: Vec<String> = experiment.modes.iter().map(|m| place(m.mean)).collect();
    let places = enumeration(&places);
    view! {
        <Section number=5>
            <p>
                "Now " {spelled(experiment.modes.len())} " modes of different widths, at " {places} ", with the start off to one side. The recipe is the last one with twice the training, "
                {thousands(experiment.iterations as u64)} " rounds, and one change: the optimiser's memory of
                how large gradients were (Adam's second constant) is " {experiment.adam_beta_2.to_string()}
                " instead of " {EXPERIMENTS[OFF_POLICY].adam_beta_2.to_string()}
                ". With the longer memory the result was a matter of luck with the seed. The farthest mode
                can only be reached by leaning to the right at every step."
            </p>
            <Demo index=FOUR />
            <p>
                "The model finds all of them, and serves them unevenly. From left to right they hold "
                {numbers::target_masses(name(FOUR))} " of the target and get " {numbers::masses(name(FOUR))}
                ". Worst off is the mode at " {starved.place.clone()} ", with " {starved.model.clone()} " instead of "
                {starved.target.clone()} "; best off is the one at " {favoured.place.clone()} ", with "
                {favoured.model.clone()} " instead of " {favoured.target.clone()}
                ". Total variation is " {numbers::total_variation(name(FOUR))}
                ", the divergence KL(target, model) is " {numbers::kl(name(FOUR))} " nats, and "
                <Math formula=tex::LOG_Z /> " is short by " {numbers::log_z_gap(name(FOUR))} "."
            </p>
            <p>
                "In a histogram of 500 walks much of this could pass for chance: there even a perfect sampler
                shows a total variation of about " {fixed(chance(experiment, 500), 2)}
                ", for its counts are never quite even. The exact density does not have this blur."
            </p>
            <Try>
                "Set the trajectories to 500 and press Resample until you think that all modes are fine. Then
                read the row of exact masses."
            </Try>
            <Learned>
                "Finding every mode is one thing, and giving each its share is another. The second needs a
                number that is not a picture."
            </Learned>
            <Solved />
        </Section>
    }
}

#[component]
pub fn LieDetector() -> impl IntoView {
    let (iterations, loss_then, loss_now) = numbers::settled(name(ON_POLICY));
    view! {
        <Section number=6>
            <p>
                "The loss is the number that training prints, and one is tempted to read it as a mark. Here
                are the five runs of this page in the order of their final losses."
            </p>
            <History />
            <p>
                "The two lowest losses belong to the two models that are wrong, the collapsed one and the
                buggy one, and these have the largest total variation of all. The highest losses belong to
                the two that were trained on noisy walks, and both of them serve every mode. Between tasks,
                and between ways of drawing the walks, losses cannot be compared."
            </p>
            <p>
                "Nor does a loss that goes on falling mean that anything goes on improving. Follow the
                collapsed model: after " {iterations} " iterations its total variation stood where it stands
                now, and the loss still fell from " {loss_then} " to " {loss_now} "."
            </p>
            <p>
                <Math formula=tex::LOG_Z />
                " is the better witness. Every bell has area one, so the learned area, "
                <Math formula=tex::EXP_LOG_Z />
                ", is the number of modes that the model believes in. The collapsed model believes in "
                {numbers::modes_believed(name(ON_POLICY))} " of them, and is right about the half of the world
                that it knows. The buggy one believes in " {numbers::modes_believed(name(BUGGY))}
                ", less than one mode, which no sampler of this target can be right about. A low count is a
                reason to look, and not yet a verdict: the off-policy model counts "
                {numbers::modes_believed(name(OFF_POLICY))} " and the one with four modes "
                {numbers::modes_believed(name(FOUR))} ", and they have them all."
            </p>
            {[EASY, ON_POLICY, OFF_POLICY].iter().all(|&model| numbers::has_seeds(name(model))).then(runs)}
            <Try>
                "Choose the collapsed run above and move the pointer, or the arrow keys, from left to right.
                Where would you have stopped, going by the loss? Going by the area?"
            </Try>
            <Learned>
                "The loss tells how well a model agrees with itself. The area it has learned can be held
                against something: a known truth, or another run."
            </Learned>
        </Section>
    }
}

/// What other seeds gave, where they were run.
fn runs() -> impl IntoView {
    view! {
        <h3>"Seeds, not anecdotes"</h3>
        <p>
            "One run is an anecdote. Each recipe was therefore trained with "
            {numbers::seeds(name(EASY))} " seeds. A run counts as collapsed here if some mode holds less
            than a tenth of its share."
        </p>
        <Seeds />
        <p>
            "On-policy, " {numbers::collapsed(name(ON_POLICY))} " collapsed; which bell is kept is
            chance. Off-policy it was " {numbers::collapsed(name(OFF_POLICY))}
            ", and a few of the others serve their modes unevenly."
        </p>
    }
}

#[component]
pub fn Temperature() -> impl IntoView {
    view! {
        <Section number=7>
            <p>
                "The slider multiplies the standard deviation of every step by "
                <Math formula=tex::TEMPERATURE /> ","
            </p>
            <Formula parts=[tex::SCALED] />
            <p>
                "and leaves the means alone. The name suggests more than that. Where else one speaks of
                temperature, the target itself is raised to a power,"
            </p>
            <Formula parts=[tex::TEMPERED_TARGET, tex::TEMPERED_AREA] />
            <p>
                "As " <Math formula=tex::T_TO_ZERO /> " this gathers all mass on the highest peak, and a
                high " <Math formula=tex::TEMPERATURE /> " flattens it. To sample from it one would train
                a model for " <Math formula=tex::TEMPERED /> ". Scaling the steps of a model that was
                trained for " <Math formula=tex::R /> " is something else."
            </p>
            <Predict
                name="temperature"
                question="Turn it down until nearly no noise is left. Where do the walks of the happy case, with its two modes, end?".into()
                answers=[
                    (
                        "At the two modes, more sharply than before",
                        "A walk without noise cannot choose between two places: all of them end at one point, the same for every seed.".into(),
                    ),
                    (
                        "At the top of the highest peak",
                        "That is what tempering the target would give. Here all walks end at one point, and nothing puts it on a peak.".into(),
                    ),
                    (
                        "All at one point, wherever that is",
                        "So it is: without noise every walk makes the same steps, and nothing puts their end on a mode.".into(),
                    ),
                ]
            />
            <TemperatureFigure />
            <p>
                "Take the noise away altogether, and every walk makes the same steps. One path is left, with one
                end, however many modes there are, and nothing puts that end on a mode: the means were learned for
                walks that also jitter, and often it is the jitter that decides between one mode and
                another. At the left end of the slider we are nearly there. A model that had sharpened its
                target would collect close to the highest reward; some of ours get less than half of
                it. Where the spread in the table is still large, the path runs along a ridge, and the
                slightest push lets a walk fall to either side."
            </p>
            <p>
                "Nor is the other direction right. With more noise than it was trained with, the policy is
                asked about places that it has rarely seen, and what comes out is wider than before, in no
                particular way."
            </p>
            <Tempered />
            <Try>
                "In any demo above, tick “Show " <Math formula=tex::TEMPERED />
                "” and drag the temperature. The " <span class="c-tempered">"green line"</span>
                " is what tempering would give. Only at 1 do ink and green agree. Then drag β up from 1, and
                watch the narrow modes take from the wide ones."
            </Try>
            <Learned>
                "Scaling a sampler's noise is a way to look into it, and not a way to sharpen its target. A
                sampler that is to follow the temperature has to be told it while it learns."
            </Learned>
        </Section>
    }
}

#[component]
fn Cite(key: &'static str, children: Children) -> impl IntoView {
    view! { <a class="cite" href=format!("#ref-{key}")>{children()}</a> }
}

#[component]
pub fn TrainHere() -> impl IntoView {
    view! {
        <Section number=8>
            <p>
                "Everything above was trained beforehand. Here you can train one yourself, on this
                computer and nowhere else: draw a target, choose what the training does, and watch
                it work or fail."
            </p>
            <Laboratory />
        </Section>
    }
}

#[component]
pub fn Colophon() -> impl IntoView {
    let rows = EXPERIMENTS
        .iter()
        .map(|experiment| {
            let name = experiment.name;
            view! {
                <tr>
                    <th scope="row">
                        <code>{name}</code>
                    </th>
                    <td>{numbers::total_variation(name)}</td>
                    <td>{numbers::kl(name)}</td>
                    <td>{numbers::loss(name)}</td>
                    <td>{numbers::log_z(name)}</td>
                    <td>{numbers::log_z_true(name)}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <Section number=9>
            <p>
                "This page is a folder of static files. It is written in Rust and compiled to WebAssembly: the
                text and the plots are one small file, the engine that draws the walks is another and runs
                in a worker of its own, so that a slider never waits for it. The engine uses WebGPU through
                one fused kernel where the browser has it, and the processor where it does not. When it starts
                it draws the same batch on both, and if they disagree it leaves the GPU alone."
            </p>
            <p>
                "Random numbers are a function of the seed, the walk and the step. That is why dragging the
                temperature moves the walks instead of replacing them, and why both engines draw the same
                ones, to rounding. The exact densities and everything computed from them come from the model itself on
                a fine grid; only the bars, their shares and the lines below them are sampled."
            </p>
            <p>
                "The numbers in the text were written by the program that trained the models. To train them
                again, and with them the text, run"
            </p>
            <pre><code>"cargo xtask train-distill"</code></pre>
            <p>
                "in the source tree and build the page. The weights are in "
                <code>"pretrained/"</code>
                " as safetensors files, which Python reads as well; the file beside them, "
                <code>"manifest.json"</code> ", has each model's recipe, seed, training curve and scores. In the
                table below, the loss is that of the last training walks, which for the off-policy models
                are noisier than their own."
            </p>
            <table class="wide">
                <caption>
                    "The five models at T = 1: total variation (TV) and KL(target, model) from the exact
                    densities, the loss, and log Z, learned and true, in nats"
                </caption>
                <thead>
                    <tr>
                        <th scope="col">"model"</th>
                        <th scope="col">"TV"</th>
                        <th scope="col">"KL"</th>
                        <th scope="col">"loss"</th>
                        <th scope="col">"log Z"</th>
                        <th scope="col">"true"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
            <h3>"References"</h3>
            <ul class="references">
                <li id="ref-bengio">
                    "E. Bengio, M. Jain, M. Korablyov, D. Precup and Y. Bengio. Flow network based generative
                    models for non-iterative diverse candidate generation. NeurIPS 2021. "
                    <a href="https://arxiv.org/abs/2106.04399">"arXiv:2106.04399"</a>
                </li>
                <li id="ref-malkin">
                    "N. Malkin, M. Jain, E. Bengio, C. Sun and Y. Bengio. Trajectory balance: improved credit
                    assignment in GFlowNets. NeurIPS 2022. "
                    <a href="https://arxiv.org/abs/2201.13259">"arXiv:2201.13259"</a>
                </li>
                <li id="ref-lahlou">
                    "S. Lahlou, T. Deleu, P. Lemos, D. Zhang, A. Volokhova, A. Hernández-García, L. N. Ezzine,
                    Y. Bengio and N. Malkin. A theory of continuous generative flow networks. ICML 2023. "
                    <a href="https://arxiv.org/abs/2301.12594">"arXiv:2301.12594"</a>
                </li>
                <li id="ref-torchgfn">
                    "torchgfn, a PyTorch library for GFlowNets: the notebook on a continuous line. "
                    <a href="https://github.com/GFNOrg/torchgfn/tree/master/tutorials/notebooks">
                        "github.com/GFNOrg/torchgfn"
                    </a>
                </li>
                <li id="ref-viviano">
                    "Viviano. Continuous GFlowNets, in your browser. 2026. The idea of such a tour, and the
                    five experiments, are from there; text, code and weights here are our own."
                </li>
            </ul>
        </Section>
    }
}
