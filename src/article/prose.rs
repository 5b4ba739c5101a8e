//! The text. Each section has one idea, one demo or figure, one thing to try, and one sentence on
//! what was learned. No number about a model is written here by hand: they come from [`numbers`].

use crate::figures;
use crate::heading;
use crate::islands;
use crate::models::Models;
use crate::references::{self, cite};
use crate::studies::study;
use gflownet_tour_core::address::{self, Control};
use gflownet_tour_core::archive::BackwardRollouts;
use gflownet_tour_core::experiment::{BATCH, EXPERIMENTS, Experiment, HIDDEN, TEMPERED_BETAS};
use gflownet_tour_core::exploration::Exploration;
use gflownet_tour_core::message::PLACEHOLDER_STD;
use gflownet_tour_core::options::Schedule;
use gflownet_tour_core::policy::{FEATURES, MAX_STD, MIN_STD, Policy};
use gflownet_tour_core::tempered::Score;
use gflownet_tour_core::weights::ablation::Ablation;
use gflownet_tour_core::weights::manifest::TemperedEntry;
use gflownet_tour_widgets::format::{enumeration, fixed, percent, place, spelled, thousands};
use gflownet_tour_widgets::formulas as tex;
use gflownet_tour_widgets::island::Island;
use gflownet_tour_widgets::numbers;
use gflownet_tour_widgets::picture::{PATHS, Picture, chance, target_curve, total_variation};
use maud::{Markup, PreEscaped, html};

// The models that the text speaks of, by their names in the experiments' table.
const EASY: &str = "easy_correct";
const BUGGY: &str = "easy_buggy";
const ON_POLICY: &str = "hard_on_policy";
const OFF_POLICY: &str = "hard_off_policy";
const FOUR: &str = "four_mode";
const SOLVED: &str = "four_mode_solved";

/// One part of the text.
pub struct Section {
    /// Its place in links.
    pub id: &'static str,
    pub title: &'static str,
    pub text: Markup,
}

/// The text, in order.
pub fn sections(models: &Models) -> Vec<Section> {
    [
        ("setup", "The setup", setup()),
        ("happy-case", "A happy case", happy_case(models)),
        ("pedagogical-bug", "The pedagogical bug", bug(models)),
        ("mode-collapse", "Mode collapse", collapse(models)),
        ("off-policy", "Off-policy exploration", off_policy(models)),
        ("harder-case", "A harder case", harder(models)),
        ("lie-detector", "log Z as the lie detector", lie_detector()),
        ("temperature", "On temperature", temperature(models)),
        ("lab", "Train one here", train_here()),
        ("colophon", "Colophon", colophon()),
    ]
    .into_iter()
    .map(|(id, title, text)| Section { id, title, text })
    .collect()
}

/// The experiment that the text speaks of.
///
/// # Panics
/// When the table has none of that name: the text then speaks of what is not there.
fn experiment(name: &str) -> &'static Experiment {
    Experiment::named(name)
        .unwrap_or_else(|| panic!("the text speaks of `{name}`, which is no experiment"))
}

/// A formula inside a sentence.
pub fn math(formula: &str) -> Markup {
    html! { span.math { (PreEscaped(formula)) } }
}

/// A formula on a line of its own, in parts that a narrow screen puts below each other.
fn formula(parts: &[&str]) -> Markup {
    html! {
        div.formula {
            @for part in parts {
                span { (PreEscaped(part)) }
            }
        }
    }
}

fn setup() -> Markup {
    let experiment = experiment(EASY);
    let picture = Picture::placeholder(experiment);
    let untrained = total_variation(
        &picture.density,
        &target_curve(experiment),
        experiment.plot_range(),
    );
    let modes = experiment.modes.len();
    let weights = Policy::<f32>::parameter_count(HIDDEN);
    html! {
        p {
            "Somebody gives you a function " (math(tex::R_OF_X))
            " that is never negative; call it the reward. You may ask for its value at any \
             point, and that is all you may ask. You want samples: points that turn up in \
             proportion to " (math(tex::R_OF_X))
            ", so that a point with twice the reward comes twice as often."
        }
        p {
            "If you knew the area " (math(tex::Z))
            " under the whole curve, you could divide by it and have a probability density. \
             But you do not. In the problems that GFlowNets were made for, a point is a \
             molecule or a tree, there are more of them than anyone can list, and adding up \
             the reward of all of them is out of the question."
        }
        p {
            "Here a point is a number on a line, so that everything can be checked. The \
             reward is a sum of bell curves,"
        }
        (formula(&[tex::REWARD, tex::AREA]))
        p {
            "with means " (math(tex::M_K)) " and variances " (math(tex::V_K))
            ". Each bell has area one, so the true " (math(tex::Z))
            " is just their number. The first landscape has " (spelled(modes))
            " of them, at " (place(experiment.modes[0].mean)) " and "
            (place(experiment.modes[1].mean)) ", and " (math(tex::LOG_Z)) " = ln "
            (modes) " = " (fixed(experiment.target().log_partition(), 3))
            ". No model on this page is told that."
        }
        (heading(3, "walk", "Walk, do not jump"))
        p {
            "A GFlowNet does not choose its point at once. It walks there. Every trajectory \
             begins in the same state, S₀, at " (math(tex::S0)) ", and takes "
            (spelled(experiment.steps)) " steps:"
        }
        (formula(&[tex::STEP, tex::ACTION]))
        p {
            "Each step is a draw from a normal distribution. Its mean " (math(tex::MU))
            " and its standard deviation " (math(tex::SIGMA))
            " come from a small neural network that looks at the state: where the walk is, \
             and how many steps it has made. The point where the last step lands is the \
             sample. This network is called the forward policy, " (math(tex::P_F))
            "; ours has " (thousands(weights as u64)) " weights, and its " (math(tex::SIGMA))
            " stays between "
            (MIN_STD) " and " (fixed(MAX_STD, 0)) "."
        }
        (figures::placeholder(experiment, &picture))
        p {
            "The figure shows a policy that knows nothing: mean 0 and standard deviation "
            (PLACEHOLDER_STD) " at every step. In the lower plot "
            (PATHS)
            " of its walks start at S₀ and climb, step by step, to the axis. In the upper \
             plot the "
            span.c-sample { "pale blue bars" }
            " are a histogram of where walks end. The "
            span.c-model { "blue line" }
            " is the same thing without chance: not estimated from samples, but computed, by \
             pushing a probability density through all the steps. The "
            span.c-ink { "ink line" }
            " is the target. Blue and ink have nothing to do with each other yet."
        }
        p { "How far apart they are we measure by total variation," }
        (formula(&[tex::TOTAL_VARIATION]))
        p {
            "the share of the samples that are in the wrong place: 0 is perfect, 1 means no \
             overlap at all. For the policy that knows nothing it is " (fixed(untrained, 2))
            "."
        }
        (heading(3, "balance", "Balance"))
        p {
            "What should the steps be? Take a second network that walks backward. Standing \
             at " (math(tex::X_T)) ", this backward policy " (math(tex::P_B))
            " gives a distribution over the place from which the walk came. Now the story of \
             one walk can be told in two ways. Forward: begin at S₀ with the whole area "
            (math(tex::Z)) " and follow " (math(tex::P_F))
            ". Backward: begin at the end, with the reward found there, and follow "
            (math(tex::P_B))
            ". Trajectory balance asks that both give every walk the same weight:"
        }
        (formula(&[tex::BALANCE, tex::BALANCE_RIGHT]))
        p {
            "Suppose that it holds, and add up both sides over all walks that end at the \
             same " (math(tex::X))
            ". On the right the backward probabilities add up to one. What is left is "
            (math(tex::SUMMED))
            ": the walks end at each point in proportion to its reward, and the area that \
             nobody could compute has come out on the way."
        }
        p {
            "So training is this. Draw "
            (BATCH)
            " walks. For each, take the logarithm of both sides and square the difference,"
        }
        (formula(&[tex::LOSS]))
        p {
            "where for the walk " (math(tex::TAU))
        }
        (formula(&[tex::FORWARD_SUM, tex::BACKWARD_SUM]))
        p {
            "then move both networks, and the one number " (math(tex::LOG_Z))
            ", a little downhill on the average, and repeat. GFlowNets are due to "
            (cite("bengio")) ", trajectory balance to "
            (cite("malkin"))
            "; that it is sound for continuous steps was shown by "
            (cite("lahlou")) ". The experiments follow a "
            (cite("torchgfn"))
            ", and the idea of a tour through them is that of " (cite("viviano")) "."
        }
        p.try {
            b { "Try this. " }
            "Put a finger on a walk that stands at 0.4 after three steps. Which way should \
             its next step lean, to end under one of the bells? Would you answer the same \
             after four steps? That is what the network has to know, and why it is told the \
             time."
        }
        p.learned {
            b { "What was learned. " }
            "Sampling in proportion to a reward becomes a matter of balance between two \
             walks, and balance can be checked one walk at a time."
        }
    }
}

fn happy_case(models: &Models) -> Markup {
    let experiment = experiment(EASY);
    html! {
        p {
            "Here is the same walk after " (thousands(experiment.iterations as u64))
            " rounds of training on the two bells. The walks now fan out and bend, and the "
            span.c-model { "blue line" }
            " lies close to the "
            span.c-ink { "ink" }
            "."
        }
        (islands::demo(models, EASY))
        p {
            "Total variation has come down to " (numbers::total_variation(EASY))
            ": about " (numbers::misplaced(EASY))
            " of the samples are in the wrong place. The two modes get "
            (numbers::masses(EASY))
            " of the walks; half each would be right. And the one number that no sample \
             shows, " (math(tex::LOG_Z)) ", was learned as " (numbers::log_z(EASY))
            ", where the truth is " (numbers::log_z_true(EASY))
            ". Nobody gave the model a single sample of the target. It only ever asked for \
             the reward at places where its own walks had ended."
        }
        p.try {
            b { "Try this. " }
            "Press Resample a few times. The bars change, the blue line does not. Then \
             choose 100,000 trajectories: the bars settle on the blue line, not on the ink. \
             The gap that remains is the model's error. What went away was chance."
        }
        p.learned {
            b { "What was learned. " }
            "Balance alone, enforced on one's own walks, is enough to learn both where the \
             reward is and how much of it there is."
        }
    }
}

fn bug(models: &Models) -> Markup {
    let steps = experiment(BUGGY).steps;
    html! {
        p {
            "Look again at the loss: the backward sum begins at " (math(tex::T_IS_2))
            ". Why not at 1? Because the last step backward, from " (math(tex::X_1)) " to "
            (math(tex::X_0))
            ", is no choice. Every walk began at S₀, so there is only one place to return \
             to. Its probability is one, and the logarithm of one is zero. But a loop over \
             all " (spelled(steps)) " steps looks tidier, and it is easily written:"
        }
        (formula(&[tex::BUGGY_SUM, tex::RIGHT_SUM]))
        p {
            "This model is trained like the last one, except for that index. The forced step \
             is now scored as if the backward walk could have landed anywhere and happened to \
             hit S₀."
        }
        (islands::predict("bug", "One index is wrong. What will it do to training?", &[
                (
                    "The loss stays high: one sees that something is wrong",
                    format!(
                        "It does not. The loss goes down to {}, below the correct model's {}, and nothing in it objects.",
                        numbers::loss(BUGGY),
                        numbers::loss(EASY),
                    ),
                ),
                (
                    "The loss falls, and the samples are nearly right",
                    format!(
                        "The loss does fall. But total variation comes out at {}, where the correct model has {}.",
                        numbers::total_variation(BUGGY),
                        numbers::total_variation(EASY),
                    ),
                ),
                (
                    "The loss falls even lower, and the samples are wrong",
                    format!(
                        "So it is: the loss is {}, the correct model's is {}, and total variation is {}.",
                        numbers::loss(BUGGY),
                        numbers::loss(EASY),
                        numbers::total_variation(BUGGY),
                    ),
                ),]))
        (islands::demo(models, BUGGY))
        p {
            "The samples are wrong, and not by a little: total variation is "
            (numbers::total_variation(BUGGY)) ", and the two equal modes get "
            (numbers::masses(BUGGY)) ". " (math(tex::LOG_Z)) " came out as "
            (numbers::log_z(BUGGY)) " instead of " (numbers::log_z_true(BUGGY))
            ". The loss, though, went down to " (numbers::loss(BUGGY))
            ", lower than the correct model's " (numbers::loss(EASY)) "."
        }
        p {
            "Nothing failed to train. The model solved another problem, and we can write \
             down which. Add up both sides of the balance as before. On the right there is \
             now one more factor, the density " (math(tex::FORCED))
            " that the backward network happens to give to S₀, and it does not add up to \
             one. What remains is"
        }
        (formula(&[tex::RETARGETED, tex::RETARGETED_BY, tex::RETARGETED_AREA]))
        p {
            (math(tex::H_OF_X)) " is that density, averaged over the backward walks from "
            (math(tex::X))
            ". Where they come home well aimed it is large, where they come home scattered \
             it is small, and the sampler follows the product of " (math(tex::R)) " and "
            (math(tex::H))
            ". The learned area is the area of that product. It is not even a number without \
             units: a density is measured per length, so " (math(tex::LOG_Z))
            " would come out differently if " (math(tex::X)) " were measured in other units."
        }
        (study(models, Island::Algebra, &algebra_aside()))
        p.try {
            b { "Try this. " }
            "Compare the "
            span.c-bug { "vermilion line" }
            " with the ink. If you had only seen the histogram, and did not know the target, \
             what would have told you that something is wrong? Then find the two values of "
            (math(tex::LOG_Z)) " in the table."
        }
        p.learned {
            b { "What was learned. " }
            "A small loss says that the two sides of an equation agree. It does not say that \
             it was the right equation. Here " (math(tex::LOG_Z))
            " gives the bug away, because for once we know it."
        }
    }
}

fn collapse(models: &Models) -> Markup {
    let modes = experiment(ON_POLICY).modes;
    let rows = [EASY, BUGGY, ON_POLICY].map(|name| {
        html! {
            tr {
                th scope="row" { (experiment(name).title) }
                td { (numbers::loss(name)) }
                td { (numbers::log_z(name)) }
                td { (numbers::log_z_true(name)) }
                td { (numbers::total_variation(name)) }
            }
        }
    });
    html! {
        p {
            "Move the two bells apart, to " (place(modes[0].mean)) " and "
            (place(modes[1].mean))
            ". Everything else is as in the happy case, and the code has no bug."
        }
        (islands::predict("collapse", "Where will the walks end, after training?", &[
                (
                    "Half at each bell, as before",
                    format!(
                        "Not this time: the masses of the two modes are {}.",
                        numbers::masses(ON_POLICY),
                    ),
                ),
                (
                    "Nearly all at one bell",
                    format!(
                        "So it is: the masses of the two modes are {}.",
                        numbers::masses(ON_POLICY),
                    ),
                ),
                (
                    "Spread out between the two",
                    format!(
                        "There the reward is close to nothing, and training sees that. The masses of the two modes are {}.",
                        numbers::masses(ON_POLICY),
                    ),
                ),]))
        (islands::demo(models, ON_POLICY))
        p {
            "One mode has everything: the model's masses are "
            (numbers::masses(ON_POLICY)) ", and total variation is "
            (numbers::total_variation(ON_POLICY))
            ", which is what missing one of two equal modes costs. The model trains on walks \
             that it draws itself. Early on, a few more of them ended at one bell than at the \
             other; so the policy learned to end there, and the next walks did so even more. \
             Soon none ended anywhere else, and a place where no walk ends is never asked for \
             its reward."
        }
        p { "Now look at what training saw." }
        table.wide {
            caption { "The end of training, and the truth" }
            thead {
                tr {
                    th scope="col" { "model" }
                    th scope="col" { "loss" }
                    th scope="col" { "log Z, learned" }
                    th scope="col" { "log Z, true" }
                    th scope="col" { "total variation" }
                }
            }
            tbody {
                @for row in rows {
                    (row)
                }
            }
        }
        p {
            "The collapsed model has the lowest loss of all. That is no accident: the loss \
             is an average over the model's own walks, and on those everything is in balance. \
             The missing bell costs nothing, because nobody goes there to pay."
        }
        (study(models, Island::Trace, &trace_aside()))
        p {
            "But " (math(tex::LOG_Z))
            " knows. Sitting on one bell of area one, the model learned "
            (numbers::log_z(ON_POLICY)) ", and ln 1 is 0, where ln "
            (modes.len()) " = " (numbers::log_z_true(ON_POLICY))
            " is true. This is more than a coincidence. On the model's own walks, the loss \
             is least when " (math(tex::LOG_Z)) " is"
        }
        (formula(&[tex::GAP, tex::GAP_RIGHT]))
        p {
            "so it can only fall short of the truth, and by exactly the divergence (in nats) \
             between the model's walks and balanced ones. When you do not know the true \
             value, you can still compare runs: of two that were trained on the right loss, \
             the one with the smaller " (math(tex::LOG_Z))
            " is further from balance, and may have missed a mode."
        }
        @if numbers::has_seeds(ON_POLICY) {
            p {
                "And it is no accident of one seed. Trained with " (numbers::seeds(ON_POLICY))
                " seeds, " (numbers::collapsed(ON_POLICY)) " collapsed: "
                (numbers::fallen(ON_POLICY).0) " onto the left bell and "
                (numbers::fallen(ON_POLICY).1) " onto the right."
            }
        }
        p.try {
            b { "Try this. " }
            "Press Play next to the slider of the training, and watch which bell the first \
             walks find. How long does the other one live? Then drag the temperature up to 3, \
             so that every step is three times as noisy, and watch the missing mode in the \
             table of masses. Whatever arrives there arrives by accident: nothing that the \
             model learned leads to it."
        }
        p.learned {
            b { "What was learned. " }
            "Trained on its own walks, a sampler can be perfectly balanced on the half of \
             the world that it knows. The loss does not show the other half; the area does."
        }
    }
}

fn off_policy(models: &Models) -> Markup {
    html! {
        p {
            "Balance must hold for every walk, not only for likely ones. So the walks that \
             we train on may come from anywhere. The simplest other source is the policy \
             itself with more noise: while drawing walks for training, add "
            (math(tex::EXTRA)) " to each standard deviation,"
        }
        (formula(&[tex::BEHAVIOUR]))
        p {
            "and let it fall in a straight line from 2 at the first round to 0 at the last. \
             The loss does not know of it: " (math(tex::P_F))
            " in the loss is always the learned policy, without the extra. This is what \
             off-policy means. The target is the one on which the last model collapsed."
        }
        (islands::demo(models, OFF_POLICY))
        p {
            "Both modes are there, with " (numbers::masses(OFF_POLICY))
            " of the mass, and total variation is "
            (numbers::total_variation(OFF_POLICY))
            ". The wide early walks stumbled on both bells before the policy had made up its \
             mind, and by the time they grew narrow it had learned to serve both."
            @if numbers::has_seeds(OFF_POLICY) {
                " It is no guarantee: " (numbers::collapsed(OFF_POLICY))
                " runs, each from a seed of its own, lost a mode all the same."
            }
        }
        p {
            "Not all is well: " (math(tex::LOG_Z)) " is " (numbers::log_z(OFF_POLICY))
            ", short of the truth by " (numbers::log_z_gap(OFF_POLICY))
            ". The shortfall of the last section counts whole walks, and these are further \
             from balance than their end points let on."
        }
        (study(models, Island::Flow, &flow_aside()))
        p.try {
            b { "Try this. " }
            "Press Play next to the slider of the training: both modes live, while the noise \
             runs out. Then lower the temperature slowly from 1 to 0.05 and watch the walks. \
             The same random numbers are used at every temperature, so each walk keeps its \
             identity. At which step do they decide which way to go, and how much noise does \
             it take to decide?"
        }
        p.learned {
            b { "What was learned. " }
            "Exploration costs one term in the sampler and none in the loss, and it turns a \
             collapse into a working model."
        }
    }
}

fn harder(models: &Models) -> Markup {
    let usual = experiment(OFF_POLICY);
    let experiment = experiment(FOUR);
    let (starved, favoured) = numbers::extremes(FOUR);
    let places: Vec<String> = experiment.modes.iter().map(|m| place(m.mean)).collect();
    let places = enumeration(&places);
    html! {
        p {
            "Now " (spelled(experiment.modes.len())) " modes of different widths, at "
            (places)
            ", with the start off to one side. The recipe is the last one with twice the \
             training, " (thousands(experiment.iterations as u64))
            " rounds, and one change: the optimiser's memory of how large gradients were \
             (Adam's second constant) is "
            (experiment.adam_beta_2) " instead of "
            (usual.adam_beta_2)
            ". With the longer memory the result was a matter of luck with the seed. The \
             farthest mode can only be reached by leaning to the right at every step."
        }
        (islands::demo(models, FOUR))
        p {
            "The model finds all of them, and serves them unevenly. From left to right they \
             hold " (numbers::target_masses(FOUR)) " of the target and get "
            (numbers::masses(FOUR)) ". Worst off is the mode at "
            (starved.place.clone()) ", with "
            (starved.model.clone()) " instead of "
            (starved.target.clone()) "; best off is the one at "
            (favoured.place.clone()) ", with "
            (favoured.model.clone()) " instead of "
            (favoured.target.clone()) ". Total variation is "
            (numbers::total_variation(FOUR)) ", the divergence KL(target, model) is "
            (numbers::kl(FOUR)) " nats, and " (math(tex::LOG_Z)) " is short by "
            (numbers::log_z_gap(FOUR)) "."
        }
        p {
            "In a histogram of 500 walks much of this could pass for chance: there even a \
             perfect sampler shows a total variation of about "
            (fixed(chance(experiment, 500), 2))
            ", for its counts are never quite even. The exact density does not have this \
             blur."
        }
        p.try {
            b { "Try this. " }
            "Set the trajectories to 500 and press Resample until you think that all modes \
             are fine. Then read the row of exact masses."
        }
        p.learned {
            b { "What was learned. " }
            "Finding every mode is one thing, and giving each its share is another. The \
             second needs a number that is not a picture."
        }
        (solved(models))
    }
}

fn lie_detector() -> Markup {
    let (iterations, loss_then, loss_now) = numbers::settled(ON_POLICY);
    html! {
        p {
            "The loss is the number that training prints, and one is tempted to read it as a \
             mark. Here are the five runs of this page in the order of their final losses."
        }
        (islands::history())
        p {
            "The two lowest losses belong to the two models that are wrong, the collapsed \
             one and the buggy one, and these have the largest total variation of all. The \
             highest losses belong to the two that were trained on noisy walks, and both of \
             them serve every mode. Between tasks, and between ways of drawing the walks, \
             losses cannot be compared."
        }
        p {
            "Nor does a loss that goes on falling mean that anything goes on improving. \
             Follow the collapsed model: after "
            (iterations)
            " iterations its total variation stood where it stands now, and the loss still \
             fell from "
            (loss_then) " to "
            (loss_now) "."
        }
        p {
            (math(tex::LOG_Z))
            " is the better witness. Every bell has area one, so the learned area, "
            (math(tex::EXP_LOG_Z))
            ", is the number of modes that the model believes in. The collapsed model \
             believes in " (numbers::modes_believed(ON_POLICY))
            " of them, and is right about the half of the world that it knows. The buggy one \
             believes in " (numbers::modes_believed(BUGGY))
            ", less than one mode, which no sampler of this target can be right about. A low \
             count is a reason to look, and not yet a verdict: the off-policy model counts "
            (numbers::modes_believed(OFF_POLICY)) " and the one with four modes "
            (numbers::modes_believed(FOUR)) ", and they have them all."
        }
        @if [EASY, ON_POLICY, OFF_POLICY].into_iter().all(numbers::has_seeds) {
            (runs())
        }
        p.try {
            b { "Try this. " }
            "Choose the collapsed run above and move the pointer, or the arrow keys, from \
             left to right. Where would you have stopped, going by the loss? Going by the \
             area?"
        }
        p.learned {
            b { "What was learned. " }
            "The loss tells how well a model agrees with itself. The area it has learned can \
             be held against something: a known truth, or another run."
        }
    }
}

/// What other seeds gave, where they were run.
fn runs() -> Markup {
    html! {
        (heading(3, "seeds", "Seeds, not anecdotes"))
        p {
        "One run is an anecdote. Each recipe was therefore trained with "
        (numbers::seeds(EASY))
        " seeds. A run counts as collapsed here if some mode holds less than a tenth of its \
         share."
        }
        (figures::seeds())
        p {
        "On-policy, " (numbers::collapsed(ON_POLICY))
        " collapsed; which bell is kept is chance. Off-policy it was "
        (numbers::collapsed(OFF_POLICY))
        ", and a few of the others serve their modes unevenly."
        }
    }
}

fn temperature(models: &Models) -> Markup {
    html! {
        p {
            "The slider multiplies the standard deviation of every step by "
            (math(tex::TEMPERATURE)) ","
        }
        (formula(&[tex::SCALED]))
        p {
            "and leaves the means alone. The name suggests more than that. Where else one \
             speaks of temperature, the target itself is raised to a power,"
        }
        (formula(&[tex::TEMPERED_TARGET, tex::TEMPERED_AREA]))
        p {
            "As " (math(tex::T_TO_ZERO))
            " this gathers all mass on the highest peak, and a high "
            (math(tex::TEMPERATURE))
            " flattens it. To sample from it one would train a model for "
            (math(tex::TEMPERED)) ". Scaling the steps of a model that was trained for "
            (math(tex::R)) " is something else."
        }
        (islands::predict("temperature", "Turn it down until nearly no noise is left. Where do the walks of the happy case, with its two modes, end?", &[
                (
                    "At the two modes, more sharply than before",
                    "A walk without noise cannot choose between two places: all of them end at one point, the same for every seed.".to_owned(),
                ),
                (
                    "At the top of the highest peak",
                    "That is what tempering the target would give. Here all walks end at one point, and nothing puts it on a peak.".to_owned(),
                ),
                (
                    "All at one point, wherever that is",
                    "So it is: without noise every walk makes the same steps, and nothing puts their end on a mode.".to_owned(),
                ),]))
        (figures::temperature(models))
        p {
            "Take the noise away altogether, and every walk makes the same steps. One path \
             is left, with one end, however many modes there are, and nothing puts that end \
             on a mode: the means were learned for walks that also jitter, and often it is \
             the jitter that decides between one mode and another. At the left end of the \
             slider we are nearly there. A model that had sharpened its target would collect \
             close to the highest reward; some of ours get less than half of it. Where the \
             spread in the table is still large, the path runs along a ridge, and the \
             slightest push lets a walk fall to either side."
        }
        p {
            "Nor is the other direction right. With more noise than it was trained with, the \
             policy is asked about places that it has rarely seen, and what comes out is \
             wider than before, in no particular way."
        }
        (tempered(models))
        p.try {
            b { "Try this. " }
            "In any demo above, tick “Show " (math(tex::TEMPERED))
            "” and drag the temperature. The "
            span.c-tempered { "green line" }
            " is what tempering would give. Only at 1 do ink and green agree. Then drag β up \
             from 1, and watch the narrow modes take from the wide ones."
        }
        p.learned {
            b { "What was learned. " }
            "Scaling a sampler's noise is a way to look into it, and not a way to sharpen \
             its target. A sampler that is to follow the temperature has to be told it while \
             it learns."
        }
    }
}

fn train_here() -> Markup {
    html! {
        p {
            "Everything above was trained beforehand. Here you can train one yourself, on \
             this computer and nowhere else: draw a target, choose what the training does, \
             and watch it work or fail. Beside trajectory balance there are detailed balance ("
            (cite("foundations")) "), sub-trajectory balance (" (cite("madan"))
            "), the log-variance loss (" (cite("richter"))
            "), and the reverse KL divergence of variational inference, of which the balances are \
             relatives (" (cite("variational")) ")."
        }
        (islands::laboratory())
    }
}

fn solved(models: &Models) -> Markup {
    let experiment = experiment(SOLVED);
    html! {
        (heading(3, "solved", "The same problem, solved"))
        p {
            "Nothing in the problem stands in the way. Here are the same four modes after the same "
            (thousands(experiment.iterations as u64)) " rounds of " (BATCH)
            " walks with the same " (spelled(experiment.steps))
            " steps, trained by a better recipe."
        }
        (islands::demo(models, SOLVED))
        p {
            "Total variation is " (numbers::total_variation(SOLVED)) ", where it was "
            (numbers::total_variation(FOUR)) ". The modes get " (numbers::masses(SOLVED))
            " instead of " (numbers::target_masses(SOLVED)) ", and " (math(tex::LOG_Z))
            " is short by " (numbers::log_z_gap(SOLVED))
            ". As everywhere in this tour, training looked at the reward only where walks had ended."
        }
        (recipe(experiment))
        @if let Some(ablation) = numbers::ablation() {
            (worth(ablation))
        }
    }
}

/// What the recipe does, in words; its numbers are the experiment's own.
fn recipe(experiment: &Experiment) -> Markup {
    let options = experiment.options;
    let quiet = match experiment.exploration {
        Exploration::LinearByFraction { fraction, .. } => percent(fraction, 0),
        _ => percent(1.0, 0),
    };
    let rates = match options.learning_rates {
        Schedule::WarmUpCosine { warm_up, last } => format!(
            "They rise to {} over {} rounds and then fall along a cosine to {} of that.",
            experiment.learning_rate,
            thousands(warm_up as u64),
            percent(last, 0)
        ),
        _ => "They stay as they are.".to_owned(),
    };
    let rows = match options.backward_rollouts {
        BackwardRollouts::Archive { rows, .. } => rows,
        _ => 0,
    };
    html! {
        ul {
            li {
                strong { "Inputs. " }
                "The networks read the position as "
                (FEATURES)
                " features, waves of several lengths among them, and each step has a first layer \
                 of its own. The layers behind it are shared."
            }
            li {
                strong { "A bridge. " }
                "The backward walk is aimed straight home to S₀, and its network learns only \
                 what to add."
            }
            li {
                strong { "Learning rates. " }
                (rates) " Adam's second constant is "
                (experiment.adam_beta_2) ", a memory of some tens of rounds."
            }
            li {
                strong { "Noise. " }
                "It is gone after "
                (quiet)
                " of the rounds; from then on, what is drawn forwards is drawn from the model \
                 itself."
            }
            li {
                strong { "An archive. " }
                (rows) " of the "
                (BATCH)
                " walks of each round are drawn backwards, from where earlier walks had ended, \
                 the better rewarded the more often."
            }
        }
    }
}

/// The table of options, one changed at a time.
/// The table of options, one changed at a time.
fn worth(ablation: &Ablation) -> Markup {
    html! {
        table.wide.ablation {
            caption {
                "What the parts are worth: one changed at a time, medians of "
                (spelled(ablation.seeds.len()))
                " seeds. The densities are exact; log Z is weighted over sampled walks."
            }
            thead {
                tr {
                    th scope="col" { "what is changed" }
                    th.minor scope="col" { "parameters" }
                    th scope="col" { "total variation" }
                    th scope="col" { "worst mode off by" }
                    th scope="col" { (math(tex::LOG_Z)) " off, learned" }
                    th.minor scope="col" { (math(tex::LOG_Z)) " off, weighted" }
                }
            }
            tbody {
                @for row in &ablation.rows {
                    tr {
                        th scope="row" { (row.change) }
                        td.minor { (thousands(row.parameters as u64)) }
                        td { (fixed(row.total_variation, 3)) }
                        td { (percent(row.mode_mass_error, 0)) }
                        td { (fixed(row.log_z_error, 3)) }
                        td.minor { (fixed(row.importance_log_z_error, 3)) }
                    }
                }
            }
        }
    }
}

fn tempered(models: &Models) -> Markup {
    let (lowest, highest) = TEMPERED_BETAS;
    html! {
        (heading(3, "conditional", "A model that is told the temperature"))
        p {
            "So train for the tempered targets, and for all of them at once. With "
            (math(tex::BETA))
            ", the networks of this last model read one number more beside place and time: "
            (math(tex::LOG_BETA))
            ". Each group of walks in training got a β of its own, anywhere between " (lowest)
            " and " (highest) ", and had to balance " (math(tex::R_TO_BETA)) " instead of "
            (math(tex::R))
            ". The area now depends on β, so it is no single number that is learned but a third, \
             tiny network."
        }
        (islands::tempered(models))
        @if let Some(entry) = numbers::tempered() {
            (tempered_results(entry))
        }
    }
}

/// What the manifest says of the model.
fn tempered_results(entry: &TemperedEntry) -> Markup {
    let worst = |of: fn(&Score) -> f64| entry.scores.iter().map(of).fold(0.0, f64::max);
    let at_one = entry.scores.iter().find(|score| score.beta == 1.0);
    let recipe = &entry.recipe;
    let rows = match recipe.base.options.backward_rollouts {
        BackwardRollouts::Archive { rows, .. } => rows,
        _ => 0,
    };
    // The next hundredth.
    let bound = |of: fn(&Score) -> f64| fixed((worst(of) * 100.0).ceil() / 100.0, 2);
    html! {
        p {
            "At every β of the table total variation is below " (bound(|s| s.total_variation))
            ", and " (math(tex::LOG_Z_BETA)) " is off by less than "
            (bound(|s| (s.log_z - s.log_z_true).abs())) ". Scaling the steps of " code { (SOLVED) }
            " instead, as the sliders above do, misses every one of these targets but the one at \
             β = 1. There it is nearer, and that is the price: total variation is "
            (fixed(at_one.map_or(f64::NAN, |score| score.total_variation), 3)) " against the "
            (numbers::total_variation(SOLVED))
            " of the model that learned this one target alone, from half as many walks. Here "
            (thousands(recipe.base.batch as u64)) " were drawn in each round, in "
            (spelled(recipe.groups)) " groups, and " (rows)
            " of them backwards from the archive. Outside the range that it was trained on the \
             model promises nothing, and the slider ends there."
        }
        table.wide.tempered-scores {
            caption {
                "One model at five temperatures: exact total variation, and log Z in nats"
            }
            thead {
                tr {
                    th scope="col" { "β = 1/T" }
                    th scope="col" { "total variation" }
                    th scope="col" { "log Z, learned" }
                    th scope="col" { "log Z, true" }
                }
            }
            tbody {
                @for score in &entry.scores {
                    tr {
                        th scope="row" { (score.beta) }
                        td { (fixed(score.total_variation, 3)) }
                        td { (fixed(score.log_z, 2)) }
                        td { (fixed(score.log_z_true, 2)) }
                    }
                }
            }
        }
    }
}

/// What the three loops are about, for those who open the part.
fn algebra_aside() -> Markup {
    html! {
        "Three models were trained by three loops. Two of the loops ask for something else than the \
         target, and what they ask for can be computed: here it stands beside what the models do. \
         Nothing here is sampled: a model's density is computed through its forward network, and "
        (math(tex::H))
        ", the mean over all backward walks, by quadrature through its backward network. Neither \
         knows of the other."
    }
}

fn trace_aside() -> Markup {
    html! {
        "This is the loss of one walk, as the model and its training see it. The walk is one sample, \
         drawn from its seed. Its terms, and the chance of its basin, are exact. A positive residual \
         says that the forward side is too large for this walk: the gradient then makes its steps \
         less likely, lowers " (math(tex::LOG_Z))
        ", and makes the backward steps more likely. A negative one does the reverse."
    }
}

fn flow_aside() -> Markup {
    html! {
        "All of this is exact, none of it sampled. Forward, the flow is " (math(tex::Z_P_T))
        ", the learned area times the density of the walks after " (math(tex::T_STEP))
        " steps. Backward, it is the reward, carried down through the backward policy. A perfect \
         model has one flow, and the ratio's map is empty of colour; the solved models come close. \
         For the model that counts the forced step the ratio shows that step's mean density, which \
         the backward flow lacks; the one that drops a real step never trained its backward policy \
         there, and its backward flow at the first step means nothing."
    }
}

fn colophon() -> Markup {
    html! {
        p {
            "This page is a folder of static files. It is written in Rust and compiled to \
             WebAssembly: the text and the plots are one small file, the engine that draws \
             the walks is another and runs in a worker of its own, so that a slider never \
             waits for it. The engine uses WebGPU through one fused kernel where the browser \
             has it, and the processor where it does not. When it starts it draws the same \
             batch on both, and if they disagree it leaves the GPU alone."
        }
        p {
            "Random numbers are a function of the seed, the walk and the step. That is why \
             dragging the temperature moves the walks instead of replacing them, and why both \
             engines draw the same ones, to rounding. The exact densities and everything \
             computed from them come from the model itself on a fine grid; only the bars, \
             their shares and the lines below them are sampled."
        }
        p {
            "The numbers in the text were written by the program that trained the models. To \
             train them again, and with them the text, run"
        }
        pre tabindex="0" {
            code { "cargo xtask train-distill" }
        }
        p {
            "in the source tree and build the page. The weights are in "
            code { "pretrained/" }
            " as safetensors files, which Python reads as well; the file beside them, "
            code { "manifest.json" }
            ", has each model's recipe, seed, training curve and scores. In the table below, \
             the loss is that of the last training walks, which for the off-policy models are \
             noisier than their own."
        }
        table.wide {
            caption {
                "The five models at T = 1: total variation (TV) and KL(target, model) from \
                 the exact densities, the loss, and log Z, learned and true, in nats"
            }
            thead {
                tr {
                    th scope="col" { "model" }
                    th scope="col" { "TV" }
                    th scope="col" { "KL" }
                    th scope="col" { "loss" }
                    th scope="col" { "log Z" }
                    th scope="col" { "true" }
                }
            }
            tbody {
                @for name in EXPERIMENTS.iter().map(|experiment| experiment.name) {
                    tr {
                        th scope="row" { code { (name) } }
                        td { (numbers::total_variation(name)) }
                        td { (numbers::kl(name)) }
                        td { (numbers::loss(name)) }
                        td { (numbers::log_z(name)) }
                        td { (numbers::log_z_true(name)) }
                    }
                }
            }
        }
        (heading(3, "share", "Links and lectures"))
        p {
            "What you set on this page is in its address, so that a link to it shows what you see. Each \
             demo copies a link of its own, and the mark beside a heading one to that place. A teacher can \
             choose which controls a link shows, by a word in it: with "
            code { "controls=temperature,resample" } " "
            a href={ "#happy-case?v=" (address::VERSION) "&controls=temperature,resample" } {
                "these two are left"
            }
            ", with " code { "controls=none" } " none are. The names are "
            (enumeration(&Control::ALL.map(|(_, name)| name.to_owned()))) "; "
            a href={ "#happy-case?v=" (address::VERSION) } { "here are all of them again" } "."
        }
        (heading(3, "references", "References"))
        (references::list())
        p { "To cite this page itself:" }
        (references::bibtex())
    }
}
