//! Small networks of the kinds that people deploy.

use saliq::config::NetworkConfig;

/// Every network with its name.
pub fn networks() -> [(&'static str, NetworkConfig); 6] {
    [
        ("pre_activation", include_str!("../goldens/networks/pre_activation.toml")),
        ("inverted_residual", include_str!("../goldens/networks/inverted_residual.toml")),
        ("squeeze_and_excite", include_str!("../goldens/networks/squeeze_and_excite.toml")),
        ("fire_and_dense", include_str!("../goldens/networks/fire_and_dense.toml")),
        ("learned_slopes", include_str!("../goldens/networks/learned_slopes.toml")),
        ("uneven_pools", include_str!("../goldens/networks/uneven_pools.toml")),
    ]
    .map(|(name, text)| (name, toml::from_str(text).unwrap()))
}
