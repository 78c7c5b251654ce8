//! Maps values to places on an axis.

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Linear, from zero on.
    Linear,
    /// Logarithmic.
    Log,
}

/// An axis between two places on the page.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    scale: Scale,
    /// The values at its ends.
    values: [f64; 2],
    /// The places of its ends.
    places: [f64; 2],
}

impl Axis {
    /// An axis that contains all values, with some space at its ends.
    pub fn around(scale: Scale, values: impl Iterator<Item = f64>, places: [f64; 2]) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        if most == 0.0 {
            (least, most) = (1.0, 1.0);
        }
        let values = match scale {
            Scale::Linear => [0.0, most * 1.08],
            Scale::Log => [least / 1.2, most * 1.2],
        };
        Self {
            scale,
            values,
            places,
        }
    }

    /// The place of a value. A value beyond an end gets the place of the end.
    pub fn place(&self, value: f64) -> f64 {
        let along = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).ln(),
        };
        let [first, last] = self.values.map(along);
        let part = ((along(value) - first) / (last - first)).clamp(0.0, 1.0);
        self.places[0] + part * (self.places[1] - self.places[0])
    }

    /// A few round values along the axis.
    pub fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.steps(),
            Scale::Log => {
                let few: [&[f64]; 4] = [
                    &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
                    &[1.0, 2.0, 3.0, 5.0, 7.0],
                    &[1.0, 2.0, 5.0],
                    &[1.0],
                ];
                let of = |heads: &&[f64]| self.powers(heads);
                let ticks = few.iter().map(of).find(|ticks| ticks.len() <= 7);
                ticks.unwrap_or_else(|| self.powers(&[1.0]))
            }
        }
    }

    fn steps(&self) -> Vec<f64> {
        let most = self.values[1];
        let power = 10_f64.powf(most.log10().floor() - 1.0);
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0, 20.0].map(|head| head * power);
        let step = steps.into_iter().find(|step| most / step <= 6.0);
        let step = step.unwrap_or(most);
        let counts = 0..=(most / step).floor() as u32;
        counts.map(|count| f64::from(count) * step).collect()
    }

    fn powers(&self, heads: &[f64]) -> Vec<f64> {
        let [least, most] = self.values;
        let powers = least.log10().floor() as i32..=most.log10().ceil() as i32;
        let all = powers.flat_map(|power| heads.iter().map(move |head| head * 10_f64.powi(power)));
        all.filter(|tick| (least..=most).contains(tick)).collect()
    }
}

/// A number in few characters: 0.25, 40, 1.5k, 20k, 1M.
pub fn short(number: f64) -> String {
    let (number, unit) = match number {
        1e6.. => (number / 1e6, "M"),
        1e3.. => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let text = match number {
        ..1.0 => format!("{number:.2}"),
        ..10.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    };
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.25, "0.25"),
            (2.5, "2.5"),
            (3.0, "3"),
            (40.0, "40"),
            (1500.0, "1.5k"),
            (20_000.0, "20k"),
            (1_000_000.0, "1M"),
        ];
        for (number, text) in cases {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn ticks_are_few_round_and_on_the_axis() {
        for (scale, values) in [
            (Scale::Linear, vec![3.0, 280.0]),
            (Scale::Linear, vec![0.7]),
            (Scale::Log, vec![90.0, 110.0]),
            (Scale::Log, vec![3.0, 3000.0]),
            (Scale::Log, vec![1.0, 1e7]),
            (Scale::Log, vec![]),
        ] {
            let axis = Axis::around(scale, values.iter().copied(), [0.0, 100.0]);
            let ticks = axis.ticks();
            assert!(ticks.len() <= 9, "{scale:?} {values:?}: {ticks:?}");
            for value in ticks.iter().chain(&values) {
                let place = axis.place(*value);
                assert!((0.0..=100.0).contains(&place), "{scale:?} {value}");
            }
        }
    }

    #[test]
    fn equal_ratios_are_equally_far_apart() {
        let axis = Axis::around(Scale::Log, [1.0, 4.0].into_iter(), [0.0, 100.0]);
        let [one, two, four] = [1.0, 2.0, 4.0].map(|value| axis.place(value));
        assert!((two - one - (four - two)).abs() < 1e-9);
    }
}
