//! The parameters of one pipeline of a kernel: tile sizes, features and pipeline constants.

/// The specialisation of a kernel: tile sizes and features for the linker, and pipeline constants
/// (shapes, bit widths). It is ordered, so that equal specializations compare equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Specialization {
    tiles: Vec<(&'static str, u32)>,
    features: Vec<(&'static str, bool)>,
    extensions: Vec<&'static str>,
    constants: Vec<(&'static str, u64)>,
}

impl Specialization {
    /// No tiles, features or constants.
    pub fn new() -> Self {
        Specialization::default()
    }

    /// Adds tile size `name`, a module constant imported as `constants::name`.
    pub fn tile(mut self, name: &'static str, value: u32) -> Self {
        self.tiles.push((name, value));
        self
    }

    /// Sets the conditional-compilation feature `name`.
    pub fn feature(mut self, name: &'static str, enabled: bool) -> Self {
        self.features.push((name, enabled));
        self
    }

    /// Enables the language extension `name`.
    pub fn extension(mut self, name: &'static str) -> Self {
        self.extensions.push(name);
        self
    }

    /// Sets the pipeline constant (`override`) `name`.
    pub fn constant(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into().to_bits()));
        self
    }

    /// What the linker sees of it.
    pub(super) fn without_constants(&self) -> Specialization {
        Specialization { constants: Vec::new(), ..self.clone() }
    }

    /// Tile sizes.
    pub fn tiles(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        self.tiles.iter().copied()
    }

    /// Features.
    pub fn features(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        self.features.iter().copied()
    }

    /// Language extensions.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.extensions.iter().copied()
    }

    /// Tiles, enabled features and extensions for reports: `columns 12, groups 4, subgroups`.
    pub fn variant(&self) -> String {
        let tiles = self.tiles().map(|(name, value)| {
            format!("{} {value}", name.to_ascii_lowercase().replace('_', " "))
        });
        let features = self.features().filter(|(_, enabled)| *enabled).map(|(name, _)| name);
        let named = features.chain(self.extensions()).map(|name| name.replace('_', " "));
        tiles.chain(named).collect::<Vec<_>>().join(", ")
    }

    /// Pipeline constants.
    pub fn constants(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        self.constants.iter().map(|&(name, bits)| (name, f64::from_bits(bits)))
    }
}
