#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "cuda", feature = "hip"))]
mod capture;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
mod driver;
#[cfg(feature = "hip")]
pub mod hip;
pub mod machine;
#[cfg(any(feature = "cuda", feature = "hip"))]
mod numbers;
#[cfg(feature = "opencl")]
pub mod opencl;

#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
pub use driver::Ptr;
