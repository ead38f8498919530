// What the logits of one image say, kept in three numbers. log softmax(z)[c] = z[c] − highest − log_sum.
struct Softmax {
    highest: f32,
    log_sum: f32, // log Σ exp(z − highest)
    predicted: u32, // class of the highest logit, the first of equals
}
