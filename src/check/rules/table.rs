//! The table of rules: their ids are stable.

use std::fmt::Write;

/// A rule with an explanation, and a shader that it refuses beside one that it lets pass.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The stable id.
    pub id: &'static str,
    /// What it says, in one line.
    pub summary: &'static str,
    /// Why, and what to do.
    pub text: &'static str,
    /// WGSL that it refuses; empty where a command's option makes the difference.
    pub fails: &'static str,
    /// WGSL that it lets pass.
    pub passes: &'static str,
}

/// Every rule, in the order of their ids.
pub const RULES: &[Rule] = &[
    Rule {
        id: "address-space",
        summary: "A variable has a type that its address space holds.",
        text: "Variables have a fixed size: an array without a length is for storage.",
        fails: "@group(0) @binding(0) var<uniform> a: array<vec4f>;",
        passes: "@group(0) @binding(0) var<storage> a: array<vec4f>;",
    },
    Rule {
        id: "assignment-type",
        summary: "An assignment to several components needs a vector of as many, each named once.",
        text: "`v.xy = …` takes a vector of two components of the same type; `v.xx = …` has no \
               meaning. naga 30 refuses every such assignment (`naga-limit`).",
        fails: "fn f() { var v = vec4f(); v.xx = vec2f(); }",
        passes: "fn f() { var v = vec4f(); v.x = 1.0; }",
    },
    Rule {
        id: "atomic-access",
        summary: "Atomics are used through the atomic functions, in memory that is read_write.",
        text: "A plain read or write of an atomic, or of a value that contains one, would race. \
               Use `atomicLoad(&a)` and `atomicStore(&a, x)`. Atomics are in workgroup memory or \
               in `var<storage, read_write>`.",
        fails: "var<workgroup> a: atomic<u32>;\n\
                @compute @workgroup_size(1) fn main() { a = 1u; }",
        passes: "var<workgroup> a: atomic<u32>;\n\
                 @compute @workgroup_size(1) fn main() { atomicStore(&a, 1u); }",
    },
    Rule {
        id: "attribute",
        summary: "An attribute stands where it means something, once, with values in range.",
        text: "Each attribute belongs to certain declarations: `@id` to overrides, `@group` and \
               `@binding` to resources, `@workgroup_size` to compute shaders, `@location` and \
               `@builtin` to inputs and outputs. Alignments are powers of two that the type \
               allows, a size holds its type, and numbers of overrides are 0 to 65535, each once.",
        fails: "@id(1) const a = 1;",
        passes: "@id(1) override a = 1;",
    },
    Rule {
        id: "barrier-uniformity",
        summary: "Barriers and workgroupUniformLoad stand in uniform control flow.",
        text: "All invocations of a workgroup must come to the same barrier. Control flow is not \
               uniform behind a branch on an invocation's id, on values of read_write storage, of \
               workgroup or of private memory. Move the barrier out of the branch, or take the \
               condition from a uniform, from `workgroup_id`, or through `workgroupUniformLoad`. \
               This rule cannot be switched off.",
        fails: "@compute @workgroup_size(64)\n\
                fn main(@builtin(local_invocation_index) i: u32) {\n    \
                if i < 3u { workgroupBarrier(); }\n}",
        passes: "@group(0) @binding(0) var<uniform> n: u32;\n\
                 @compute @workgroup_size(64) fn main() { if n < 3u { workgroupBarrier(); } }",
    },
    Rule {
        id: "builtin-argument",
        summary: "Constant arguments of a built-in function are ones for which it has a value.",
        text: "`clamp` needs a lower bound that is not above the upper one, `insertBits` and \
               `extractBits` stay inside 32 bits, `smoothstep` has two edges, the exponent of \
               `ldexp` is at most 128, `sqrt`, `log`, `acos`, `pow` and others have a domain, \
               `normalize` needs a vector that is not zero.",
        fails: "fn f(x: f32) -> f32 { return clamp(x, 2.0, 1.0); }",
        passes: "fn f(x: f32) -> f32 { return clamp(x, 1.0, 2.0); }",
    },
    Rule {
        id: "const-overflow",
        summary: "A constant expression has a value that its type holds.",
        text: "Values of constants are exact: a float that becomes infinite, a whole number that \
               is too large for its type, a shift that loses bits, or a half that is above 65504 \
               is an error. Sums, differences and products of i32 and u32 wrap around; those of \
               numbers without a suffix do not.",
        fails: "const a: f32 = 1e38f * 10f;",
        passes: "const a: f32 = 1e37f * 10f;",
    },
    Rule {
        id: "constructor",
        summary: "The elements of an array without a named type have one in common.",
        text: "`array(1, 2.5)` has elements of one type; `array(1u, 2i)` has none.",
        fails: "const a = array(1, 2.5, 3u);",
        passes: "const a = array(1, 2.5, 3);",
    },
    Rule {
        id: "continue-past-declaration",
        summary: "A continue does not pass a declaration that `continuing` uses.",
        text: "`continuing` sees the variables of the loop's body. Behind a `continue` that comes \
               before the declaration, the variable would not exist. Declare it earlier.",
        fails: "fn f(x: u32) { loop { if x == 1u { continue; } let z = x; continuing { _ = z; \
                break if true; } } }",
        passes: "fn f(x: u32) { loop { let z = x; if x == 1u { continue; } continuing { _ = z; \
                 break if true; } } }",
    },
    Rule {
        id: "derivative-uniformity",
        summary: "Derivatives, and textureSample that needs them, stand in uniform control flow.",
        text: "A derivative compares neighbouring invocations, which must all be there. Use \
               `textureSampleLevel` or `textureSampleGrad`, sample before the branch, or write \
               `diagnostic(off, derivative_uniformity);` if the result does not matter there.",
        fails: "@fragment fn main(@location(0) v: f32) { if v > 0.5 { _ = dpdx(v); } }",
        passes: "@fragment fn main(@location(0) v: f32) { let d = dpdx(v); if v > 0.5 { _ = d; } }",
    },
    Rule {
        id: "diagnostic-filter",
        summary: "Filters name a severity, and no two in one place disagree.",
        text: "`diagnostic(SEVERITY, RULE)` takes off, info, warning or error. Rules are \
               `derivative_uniformity` and `subgroup_uniformity`.",
        fails: "diagnostic(off, derivative_uniformity);\ndiagnostic(info, derivative_uniformity);",
        passes: "diagnostic(off, derivative_uniformity);",
    },
    Rule {
        id: "directive",
        summary: "enable, requires and diagnostic stand before all declarations.",
        text: "A directive concerns the whole file. Move it to the top.",
        fails: "const a = 1;\nenable f16;",
        passes: "enable f16;\nconst a = 1;",
    },
    Rule {
        id: "division-by-zero",
        summary: "An integer is not divided by a constant zero.",
        text: "Division and remainder of integers by a zero that is known when the module is made \
               are errors, whatever the dividend is. Floats may be divided by zero at run time.",
        fails: "fn f(x: i32) -> i32 { return x / 0; }",
        passes: "fn f(x: f32) -> f32 { return x / 0.0; }",
    },
    Rule {
        id: "extension",
        summary: "An extension is enabled where it is used, and exists.",
        text: "`enable subgroups;` and `enable f16;` stand at the top of a file that uses them. \
               The report lists the feature that the device must have among its needs.",
        fails: "@compute @workgroup_size(64) fn main() { _ = subgroupAdd(1u); }",
        passes: "enable subgroups;\n\
                 @compute @workgroup_size(64) fn main() { _ = subgroupAdd(1u); }",
    },
    Rule {
        id: "index-out-of-bounds",
        summary: "A constant index is inside the vector, matrix or array.",
        text: "Indices that are known are checked; others are clamped at run time.",
        fails: "fn f(v: array<u32, 3>) -> u32 { return v[3]; }",
        passes: "fn f(v: array<u32, 3>) -> u32 { return v[2]; }",
    },
    Rule {
        id: "infinite-loop",
        summary: "A loop has an exit.",
        text: "A `loop` or `for (;;)` without `break` and `return` can never end.",
        fails: "fn f() { loop { } }",
        passes: "fn f() { loop { break; } }",
    },
    Rule {
        id: "language-limit",
        summary: "The limits that the WGSL specification fixes are kept.",
        text: "No device raises them: 8192 bytes of variables a function, 8192 of private \
               variables an entry point, 255 parameters, 1023 members of a structure and selectors \
               of a switch, 2047 elements of an array that is a value, 65535 of one in memory that \
               is no buffer, 15 levels of types, 127 of braces. Browsers may let more pass; other \
               implementations need not.",
        fails: "@compute @workgroup_size(1) fn main() { var a: array<f32, 4000>; a[0] = 1.0; }",
        passes: "@compute @workgroup_size(1) fn main() { var a: array<f32, 2000>; a[0] = 1.0; }",
    },
    Rule {
        id: "limit",
        summary: "With the option `limits`, the shader keeps to the limits of the device.",
        text: "Without the option `limits`, a need of more than WebGPU's defaults is listed in \
               `needs` and passes. The value `default` makes it an error; `NAME=VALUE,…` sets \
               limits by the names of the WebGPU specification.",
        fails: "",
        passes: "@compute @workgroup_size(64) fn main() { }",
    },
    Rule {
        id: "missing-feature",
        summary: "With the option `features`, the shader needs only those.",
        text: "Needs of features are listed in `needs`. The value `f16,subgroups` names those that \
               the device has.",
        fails: "",
        passes: "@compute @workgroup_size(64) fn main() { }",
    },
    Rule {
        id: "missing-return",
        summary: "A function with a result returns one on every way.",
        text: "The end of such a function must not be reached. A `loop` whose only exits are \
               returns has no end.",
        fails: "fn f(x: bool) -> u32 { if x { return 1u; } }",
        passes: "fn f(x: bool) -> u32 { if x { return 1u; } return 2u; }",
    },
    Rule {
        id: "mistranslation",
        summary: "naga 30 is known to translate this wrongly.",
        text: "A warning: the shader is valid, and what naga (and so wgpu and Firefox) makes of it \
               on the named targets is not. `atomicSub` of a negative constant is written to GLSL \
               as an addition of a doubly negated one; `textureNumLayers` of a storage texture \
               gives a wrong instruction in SPIR-V; two functions that make zero values of types \
               with equal names collide in HLSL; a pointer into a part of a variable that is \
               handed to a function crashes the writer of SPIR-V. In GLSL depth textures are \
               sampled and gathered without a reference by functions that it lacks, `sample_index` \
               is an int where a uint is needed, and `sample_mask`, and values of subgroups where \
               no subgroup operation is used, come without their extension.",
        fails: "",
        passes: "@compute @workgroup_size(64) fn main() { }",
    },
    Rule {
        id: "naga-limit",
        summary: "WGSL allows it; naga 30, and so wgpu and Firefox, does not.",
        text: "With the target `webgpu` alone it passes: it is valid for browsers on Dawn. For the \
               other targets it is written differently, or waits for naga.",
        fails: "fn f() { var v = vec4f(); v.xy = vec2f(1.0); }",
        passes: "fn f() { var v = vec4f(); v.x = 1.0; v.y = 1.0; }",
    },
    Rule {
        id: "need",
        summary: "With the option `allow-needs`, the shader has no other needs.",
        text: "The value `shader-f16,maxStorageBuffersPerShaderStage` makes a new need in a pull \
               request visible: it fails until it is allowed.",
        fails: "",
        passes: "@compute @workgroup_size(64) fn main() { }",
    },
    Rule {
        id: "not-translated",
        summary: "The shader is valid, and was written for no target.",
        text: "An information: an override has no default, its default makes no pipeline, or a \
               value is too large to be written out element by element. Give values of overrides.",
        fails: "",
        passes: "@compute @workgroup_size(64) fn main() { }",
    },
    Rule {
        id: "operator-precedence",
        summary: "Operators of different kinds are mixed with parentheses.",
        text: "The grammar has no order between `<<` and `+`, `&` and `==`, `&&` and `||`. Write \
               `(a & b) == c`.",
        fails: "fn f(a: u32) -> u32 { return a << 1u + 2u; }",
        passes: "fn f(a: u32) -> u32 { return a << (1u + 2u); }",
    },
    Rule {
        id: "pointer-alias",
        summary: "Two pointers to one variable are not passed where one is written through.",
        text: "A function may assume that its pointer parameters, and the variables that it uses \
               itself, are different memory, unless all of them are only read.",
        fails: "fn f(a: ptr<function, u32>, b: ptr<function, u32>) { *a = *b; }\n\
                fn g() { var x = 1u; f(&x, &x); }",
        passes: "fn f(a: ptr<function, u32>, b: ptr<function, u32>) -> u32 { return *a + *b; }\n\
                 fn g() { var x = 1u; _ = f(&x, &x); }",
    },
    Rule {
        id: "redeclaration",
        summary: "A scope declares a name once.",
        text: "The parameters and the body of a function are one scope; each block in it is \
               another, in which a name may be declared anew.",
        fails: "fn f() { let x = 1; let x = 2; }",
        passes: "fn f() { let x = 1; { let x = 2; } }",
    },
    Rule {
        id: "shift-amount",
        summary: "A constant shift is smaller than the width of the value.",
        text: "A shift by 32 or more of a value of 32 bits is an error if the amount is known.",
        fails: "fn f(x: u32) -> u32 { return x << 32u; }",
        passes: "fn f(x: u32) -> u32 { return x << 31u; }",
    },
    Rule {
        id: "stage",
        summary: "A stage uses only what it has.",
        text: "Barriers and workgroup memory are for compute shaders; derivatives, textureSample \
               and discard for fragment shaders; vertex shaders have no storage that may be \
               written (declare it `read`) and no subgroup operations.",
        fails: "var<workgroup> w: u32;\n@fragment fn main() { w = 1u; }",
        passes: "var<private> w: u32;\n@fragment fn main() { w = 1u; }",
    },
    Rule {
        id: "subgroup-uniformity",
        summary: "Subgroup operations stand in uniform control flow.",
        text: "Invocations that are not there give nothing to the operation. Move it out of the \
               branch, or write `diagnostic(off, subgroup_uniformity);`.",
        fails: "enable subgroups;\n@compute @workgroup_size(64)\n\
                fn main(@builtin(local_invocation_index) i: u32) {\n    \
                if i < 3u { _ = subgroupAdd(i); }\n}",
        passes: "enable subgroups;\n@compute @workgroup_size(64)\n\
                 fn main(@builtin(local_invocation_index) i: u32) { _ = subgroupAdd(i); }",
    },
    Rule {
        id: "syntax",
        summary: "The file can be read, and its text is WGSL.",
        text: "What the parser says: a wrong token, an unknown name, a wrong type, a file that \
               cannot be read or linked.",
        fails: "fn f( { }",
        passes: "fn f() { }",
    },
    Rule {
        id: "texture-argument",
        summary: "Offsets and components of texture functions are constants in range.",
        text: "An offset is a constant expression with components from -8 to 7; the component of \
               textureGather is 0 to 3; cubes and textures of one dimension take no offset.",
        fails: "@group(0) @binding(0) var t: texture_2d<f32>;\n\
                @group(0) @binding(1) var s: sampler;\n\
                @fragment fn main() { _ = textureSample(t, s, vec2f(), vec2i(9, 0)); }",
        passes: "@group(0) @binding(0) var t: texture_2d<f32>;\n\
                 @group(0) @binding(1) var s: sampler;\n\
                 @fragment fn main() { _ = textureSample(t, s, vec2f(), vec2i(7, 0)); }",
    },
    Rule {
        id: "tool",
        summary: "A validator that is installed refuses what naga wrote.",
        text: "spirv-val, glslangValidator, dxc and xcrun metal check the translated shader with \
               the option `tools`, where they are installed. The shader itself is valid: it is a \
               fault of the translator or of the tool. An extension of GLSL that the tool does not \
               know, and the limits that it takes for those of a device, count for nothing.",
        fails: "",
        passes: "@compute @workgroup_size(64) fn main() { }",
    },
    Rule {
        id: "translation",
        summary: "The shader can be written for the target.",
        text: "The target lacks what the shader uses, or naga's writer fails. \"A fault of the \
               translator\" means that the WGSL is valid and naga crashed.",
        fails: "@group(0) @binding(0) var<storage, read_write> a: atomic<f32>;\n\
                @compute @workgroup_size(1) fn main() { atomicAdd(&a, 1.0); }",
        passes: "@compute @workgroup_size(1) fn main() { }",
    },
    Rule {
        id: "uniformity-unknown",
        summary: "The shader is too large for the analysis of uniformity.",
        text: "An information: the rules of uniformity were not applied.",
        fails: "",
        passes: "@compute @workgroup_size(64) fn main() { }",
    },
    Rule {
        id: "validation",
        summary: "The shader is valid, whatever the target.",
        text: "What the rules on types and naga's validator say: operands, arguments and results \
               whose types do not fit, a result that must be used and is not, bindings, inputs and \
               outputs.",
        fails: "@fragment fn main(@location(0) a: u32) { }",
        passes: "@fragment fn main(@location(0) @interpolate(flat) a: u32) { }",
    },
];

/// The rule of an id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// What `--explain` says: of one rule, or the list of `all`.
pub fn explain(id: &str) -> Option<String> {
    if id == "all" {
        let mut text = String::new();
        for rule in RULES {
            let _ = writeln!(text, "{}: {}", rule.id, rule.summary);
        }
        return Some(text);
    }
    let rule = rule(id)?;
    let head = wrapped(&format!("{}: {}", rule.id, rule.summary));
    let mut text = format!("{head}\n\n{}\n", wrapped(rule.text));
    for (what, example) in [("Refused", rule.fails), ("Passes", rule.passes)] {
        if !example.is_empty() && !rule.fails.is_empty() {
            let _ = write!(text, "\n{what}:\n\n");
            for line in example.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    Some(text)
}

/// The table as a page of Markdown.
pub fn page() -> String {
    let mut text = String::from(
        "# Rules of `saliq check`\n\n\
         Each finding names its rule. Ids are stable. `saliq check` with the option `explain`\n\
         and an id prints what stands here.\n",
    );
    for rule in RULES {
        let (summary, words) = (wrapped(rule.summary), wrapped(rule.text));
        let _ = write!(text, "\n## {}\n\n{summary}\n\n{words}\n", rule.id);
        if !rule.fails.is_empty() {
            let _ = write!(
                text,
                "\nRefused:\n\n```wgsl\n{}\n```\n\nPasses:\n\n```wgsl\n{}\n```\n",
                rule.fails, rule.passes
            );
        }
    }
    text
}

/// Lines of at most 100 columns.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut columns = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if columns > 0 && columns + 1 + length > 100 {
            lines.push('\n');
            columns = 0;
        }
        if columns > 0 {
            lines.push(' ');
            columns += 1;
        }
        lines.push_str(word);
        columns += length;
    }
    lines
}
