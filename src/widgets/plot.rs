//! Draws a picture on a canvas: above, densities; below, the trajectories that lead to them, from
//! S0 at the bottom up to the axis that both share.

use crate::format::{fixed, place};
use crate::palette::{PATH_ALPHA, Palette, Rgb};
use crate::picture::{Landscape, Picture, axis_top, centres, outline, within};
use gflownet_tour_core::mixture::Mode;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::{
    Cartesian2d, Circle, Color, DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBAColor,
    RGBColor, Rectangle, ShapeStyle, Text,
};
use plotters::style::TextStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_canvas::CanvasBackend;
use std::fmt::Display;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

/// The dashes, length and gap in CSS pixels, of the second line of a kind: the tempered target, and
/// the backward policy.
pub const DASH: (f64, f64) = (7.0, 3.0);

/// Which of the plots a figure has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Densities above, trajectories below.
    Both,
    /// Densities alone.
    Densities,
}

/// Everything that a figure shows.
pub struct Scene<'a> {
    pub landscape: Landscape<'a>,
    pub layout: Layout,
    /// The target, as points (x, density).
    pub target: &'a [(f64, f64)],
    /// The tempered target, where it is shown.
    pub tempered: Option<&'a [(f64, f64)]>,
    /// The sampler.
    pub picture: &'a Picture,
    /// The top of the density axis, where it does not follow the curves.
    pub top: Option<f64>,
    /// The colour of the sampler's exact density.
    pub model: Rgb,
}

pub type Plane = DrawingArea<CanvasBackend, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The canvas that is drawn on, and the size of things on it.
pub struct Sheet<'a> {
    pub palette: &'a Palette,
    /// The whole canvas. Plotters moves what leaves an area to the area's edge, so what stands
    /// beside a plot is drawn on this.
    pub root: DrawingArea<CanvasBackend, Shift>,
    /// Canvas pixels to a CSS pixel.
    scale: f64,
}

/// Draws `scene` over the whole of `canvas`, as large as the style sheet makes it and as sharp as
/// the screen is. Does nothing while the canvas has no size.
///
/// # Errors
/// When the browser refuses to draw; the text is for a developer.
pub fn draw(canvas: &HtmlCanvasElement, scene: &Scene, palette: &Palette) -> Result<(), String> {
    match Sheet::on(canvas, palette)? {
        Some(sheet) => sheet.scene(scene),
        None => Ok(()),
    }
}

impl<'a> Sheet<'a> {
    /// The whole of `canvas`, wiped; none while it has no size.
    ///
    /// # Errors
    /// When the browser refuses to draw; the text is for a developer.
    pub fn on(canvas: &HtmlCanvasElement, palette: &'a Palette) -> Result<Option<Self>, String> {
        let (width, height) = (canvas.client_width(), canvas.client_height());
        if width <= 0 || height <= 0 {
            return Ok(None);
        }
        let ratio = web_sys::window().map_or(1.0, |w| w.device_pixel_ratio());
        // Plotters places things on whole pixels; on a coarse screen twice as many of them, which
        // the browser averages, keep curves smooth.
        let scale = if ratio < 2.0 { 2.0 * ratio } else { ratio };
        let pixels = |css: i32| (f64::from(css) * scale).round() as u32;
        if (canvas.width(), canvas.height()) != (pixels(width), pixels(height)) {
            canvas.set_width(pixels(width));
            canvas.set_height(pixels(height));
        }
        let context: CanvasRenderingContext2d = canvas
            .get_context("2d")
            .ok()
            .flatten()
            .and_then(|context| context.dyn_into().ok())
            .ok_or("the canvas has no 2D context")?;
        context.clear_rect(0.0, 0.0, canvas.width().into(), canvas.height().into());
        let backend = CanvasBackend::with_canvas_object(canvas.clone())
            .ok_or("the canvas has no 2D context")?;
        Ok(Some(Sheet {
            palette,
            root: backend.into_drawing_area(),
            scale,
        }))
    }
}

impl Sheet<'_> {
    fn scene(&self, scene: &Scene) -> Result<(), String> {
        let root = &self.root;
        let left = self.px(46.0);
        let right = self.px(10.0);
        let bottom = self.px(30.0);
        let gap = self.px(10.0);
        let heading = self.px(28.0);
        let height = root.dim_in_pixel().1 as i32;
        match scene.layout {
            Layout::Densities => {
                let area = root.margin(heading, bottom, left, right);
                self.densities(&area, scene)?;
                self.x_axis(&area, scene.landscape.plot_range())
            }
            Layout::Both => {
                let inner = height - heading - bottom - gap - heading;
                let split = heading + inner * 11 / 20;
                let above = root.margin(heading, height - split, left, right);
                let below = root.margin(split + gap + heading, bottom, left, right);
                self.densities(&above, scene)?;
                self.trajectories(&below, scene)?;
                self.x_axis(&below, scene.landscape.plot_range())
            }
        }
    }

    /// CSS pixels in canvas pixels.
    pub fn px(&self, css: f64) -> i32 {
        (css * self.scale).round() as i32
    }

    pub fn stroke(&self, colour: Rgb, alpha: f64, width: f64) -> ShapeStyle {
        solid(colour, alpha).stroke_width((width * self.scale).round().max(1.0) as u32)
    }

    pub fn text(&self, colour: Rgb, h: HPos, v: VPos) -> TextStyle<'static> {
        let [r, g, b] = colour;
        TextStyle {
            color: RGBColor(r, g, b).to_backend_color(),
            pos: Pos::new(h, v),
            ..TextStyle::from((FONT, 12.0 * self.scale).into_font())
        }
    }

    pub fn plane(area: &DrawingArea<CanvasBackend, Shift>, x: (f64, f64), y: (f64, f64)) -> Plane {
        let (across, down) = area.get_pixel_range();
        let up = down.end..down.start;
        area.apply_coord_spec(Cartesian2d::new(x.0..x.1, y.0..y.1, (across, up)))
    }

    fn densities(
        &self,
        area: &DrawingArea<CanvasBackend, Shift>,
        scene: &Scene,
    ) -> Result<(), String> {
        let palette = self.palette;
        let range = scene.landscape.plot_range();
        let target_peak = scene
            .target
            .iter()
            .fold(0.0, |p: f64, point| p.max(point.1));
        let peak = scene.picture.peak();
        let top = scene.top.unwrap_or_else(|| axis_top(target_peak, peak));
        let plane = Self::plane(area, range, (0.0, top));
        let histogram = &scene.picture.histogram;
        let bin = (range.1 - range.0) / histogram.len().max(1) as f64;
        for (i, &density) in histogram.iter().enumerate().filter(|(_, d)| **d > 0.0) {
            let a = range.0 + i as f64 * bin;
            let corners = [(a, 0.0), (a + bin, f64::from(density))];
            let bar = Rectangle::new(corners, solid(palette.sample, 1.0).filled());
            plane.draw(&bar).map_err(told)?;
        }
        // The bars are too pale to be seen by all; their outline is not.
        if !histogram.is_empty() {
            let edge = self.stroke(palette.sample_edge, 1.0, 1.0);
            let outline = PathElement::new(outline(histogram, range, top), edge);
            plane.draw(&outline).map_err(told)?;
        }
        self.modes(&plane, scene.landscape.modes, (0.0, top))?;
        let box_of = (range, (0.0, top));
        if let Some(tempered) = scene.tempered {
            let style = self.stroke(palette.tempered, 1.0, 2.0);
            self.line(&plane, tempered, box_of, style, Some(DASH))?;
        }
        let style = self.stroke(palette.ink, 1.0, 1.75);
        self.line(&plane, scene.target, box_of, style, None)?;
        let cells = centres(range, scene.picture.density.len());
        let model = cells.zip(scene.picture.density.iter().map(|&d| f64::from(d)));
        let model: Vec<_> = model.collect();
        let style = self.stroke(scene.model, 1.0, 2.25);
        self.line(&plane, &model, box_of, style, None)?;
        self.start(&plane, (scene.landscape.start, 0.0))?;
        if let Some(x) = scene.picture.peak_place(range).filter(|_| peak > top) {
            // A spike at the edge of the plot has its label inside.
            let (anchor, shift) = if x < 0.5 * (range.0 + range.1) {
                (HPos::Left, 0.012)
            } else {
                (HPos::Right, -0.012)
            };
            let at = (x + shift * (range.1 - range.0), 0.97 * top);
            let style = self.text(scene.model, anchor, VPos::Top);
            let label = Text::new(format!("cut: reaches {}", fixed(peak, 1)), at, style);
            plane.draw(&label).map_err(told)?;
        }
        self.density_axis(&plane, (range.0, top))
    }

    /// The axis of densities up to `top`.
    pub fn density_axis(&self, plane: &Plane, (lo, top): (f64, f64)) -> Result<(), String> {
        self.y_axis(plane, (lo, top), "density (per unit of x)", |y| {
            // Tenths on a low axis, whole numbers on a tall one, nothing in between.
            let digits = if top < 2.5 { 1 } else { 0 };
            let rounded = fixed(y, digits);
            let steps = y * 10f64.powi(digits as i32);
            ((steps - steps.round()).abs() < 1e-6).then_some(rounded)
        })
    }

    fn trajectories(
        &self,
        area: &DrawingArea<CanvasBackend, Shift>,
        scene: &Scene,
    ) -> Result<(), String> {
        let range = scene.landscape.plot_range();
        let last = scene.landscape.steps as f64;
        let y = (-0.06 * last, last);
        let plane = Self::plane(area, range, y);
        self.modes(&plane, scene.landscape.modes, y)?;
        let style = self.stroke(self.palette.path, PATH_ALPHA, 1.0);
        for states in scene.picture.paths.chunks_exact(scene.picture.steps + 1) {
            let points = states.iter().enumerate();
            let path: Vec<_> = points.map(|(t, &x)| (f64::from(x), t as f64)).collect();
            for piece in within(&path, range, y) {
                plane.draw(&PathElement::new(piece, style)).map_err(told)?;
            }
        }
        self.start(&plane, (scene.landscape.start, 0.0))?;
        self.y_axis(&plane, (range.0, last), "step t", |t| {
            (t.fract() == 0.0).then(|| fixed(t, 0))
        })
    }

    /// The parts of a line that lie in the box of `x` and `y`, with `dashes` (length and gap in CSS
    /// pixels) where it has some.
    pub fn line(
        &self,
        plane: &Plane,
        points: &[(f64, f64)],
        (x, y): ((f64, f64), (f64, f64)),
        style: ShapeStyle,
        dashes: Option<(f64, f64)>,
    ) -> Result<(), String> {
        within(points, x, y).into_iter().try_for_each(|piece| {
            let drawn = match dashes {
                Some((dash, gap)) => {
                    let (dash, gap) = (self.px(dash), self.px(gap));
                    plane.draw(&DashedPathElement::new(piece, dash, gap, style))
                }
                None => plane.draw(&PathElement::new(piece, style)),
            };
            drawn.map_err(told)
        })
    }

    /// Thin dashed lines at the modes, over the height `y` of the plot.
    pub fn modes(&self, plane: &Plane, modes: &[Mode], y: (f64, f64)) -> Result<(), String> {
        let style = self.stroke(self.palette.mode, 1.0, 1.0);
        for mode in modes {
            let ends = [(mode.mean, y.0), (mode.mean, y.1)];
            let line = DashedPathElement::new(ends, self.px(4.0), self.px(4.0), style);
            plane.draw(&line).map_err(told)?;
        }
        Ok(())
    }

    /// The yellow dot with a dark rim.
    pub fn start(&self, plane: &Plane, at: (f64, f64)) -> Result<(), String> {
        let [rim, dot] = [(6.0, self.palette.rim), (4.5, self.palette.start)]
            .map(|(radius, colour)| Circle::new(at, self.px(radius), solid(colour, 1.0).filled()));
        plane.draw(&rim).map_err(told)?;
        plane.draw(&dot).map_err(told)
    }

    /// Ticks and their numbers at the left, where `name_tick` gives one, and what they measure
    /// above them.
    pub fn y_axis(
        &self,
        plane: &Plane,
        top_left: (f64, f64),
        title: &str,
        name_tick: impl Fn(f64) -> Option<String>,
    ) -> Result<(), String> {
        let style = self.text(self.palette.label, HPos::Right, VPos::Center);
        let (x0, y0) = plane.map_coordinate(&top_left);
        let pixels = &self.root;
        let ticks = RangedCoordf64::from(plane.get_y_range()).key_points(7);
        for y in ticks {
            let Some(name) = name_tick(y) else { continue };
            let (_, down) = plane.map_coordinate(&(top_left.0, y));
            let tick = vec![(x0 - self.px(4.0), down), (x0, down)];
            let line = PathElement::new(tick, self.stroke(self.palette.axis, 1.0, 1.0));
            pixels.draw(&line).map_err(told)?;
            let number = Text::new(name, (x0 - self.px(8.0), down), style.clone());
            pixels.draw(&number).map_err(told)?;
        }
        let style = self.text(self.palette.label, HPos::Left, VPos::Bottom);
        let title = Text::new(title, (x0 - self.px(38.0), y0 - self.px(10.0)), style);
        pixels.draw(&title).map_err(told)
    }

    /// The axis that both plots share.
    pub fn x_axis(
        &self,
        area: &DrawingArea<CanvasBackend, Shift>,
        (lo, hi): (f64, f64),
    ) -> Result<(), String> {
        let (across, down) = area.get_pixel_range();
        let pixels = &self.root;
        let line = self.stroke(self.palette.axis, 1.0, 1.0);
        let baseline = vec![(across.start, down.end), (across.end, down.end)];
        pixels
            .draw(&PathElement::new(baseline, line))
            .map_err(told)?;
        let plane = Self::plane(area, (lo, hi), (0.0, 1.0));
        let label = self.text(self.palette.label, HPos::Center, VPos::Top);
        for x in RangedCoordf64::from(lo..hi).key_points(11) {
            let (right, _) = plane.map_coordinate(&(x, 0.0));
            let tick = vec![(right, down.end), (right, down.end + self.px(4.0))];
            pixels.draw(&PathElement::new(tick, line)).map_err(told)?;
            let number = Text::new(place(x), (right, down.end + self.px(7.0)), label.clone());
            pixels.draw(&number).map_err(told)?;
        }
        let style = self.text(self.palette.label, HPos::Right, VPos::Bottom);
        let corner = (across.end, down.end + self.px(28.0));
        pixels.draw(&Text::new("x", corner, style)).map_err(told)
    }
}

pub fn solid([r, g, b]: Rgb, alpha: f64) -> ShapeStyle {
    let colour: RGBAColor = RGBColor(r, g, b).mix(alpha);
    ShapeStyle::from(colour)
}

pub fn told(error: impl Display) -> String {
    error.to_string()
}
