"""Trains and writes the models of docs/from-pytorch.md, which the suite explains.

    pip install -r ../goldens/requirements-onnx.txt
    python make.py

A residual network and LeNet-5 are written by PyTorch's exporter and as a state_dict; a MobileNet is
written by hand in the form that tf2onnx gives to Keras: channels last between transposes, padding
that differs from side to side, a softmax at the end. Each is trained for a few passes over one of
the sets in assets/data, with pixels from 0 to 1.
"""

import gzip
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "assets" / "data"


def idx(path, skip):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8)[skip:]


def split(name, part):
    images = idx(DATA / name / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    labels = idx(DATA / name / f"{part}-labels-idx1-ubyte.gz", 8)
    return torch.tensor(images / 255.0, dtype=torch.float32), torch.tensor(labels.astype(np.int64))


class Block(nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + skip)


class ResNet(nn.Module):
    """torchvision's ResNet with small widths."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = Block(8, 8, 1)
        self.layer2 = Block(8, 16, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


class LeNet5(nn.Module):
    """LeNet-5 as PyTorch's tutorials have it."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(F.relu(self.fc2(x)))


class MobileNet(nn.Module):
    """A small MobileNet; steps of 2 pad below and to the right alone, as in Keras."""

    SHAPES = [(8, 16, 1), (16, 24, 2), (24, 32, 1)]

    def __init__(self):
        super().__init__()

        def convolution(inputs, outputs, size, stride=1, groups=1):
            own = nn.Conv2d(inputs, outputs, size, stride, groups=groups, bias=False)
            return nn.Sequential(own, nn.BatchNorm2d(outputs))

        self.stem = convolution(1, 8, 3, 2)
        self.depthwise = nn.ModuleList(convolution(i, i, 3, s, i) for i, _, s in self.SHAPES)
        self.pointwise = nn.ModuleList(convolution(i, o, 1) for i, o, _ in self.SHAPES)
        self.head = nn.Linear(32, 10)

    @staticmethod
    def pads(stride):
        return [0, 0, 1, 1] if stride == 2 else [1, 1, 1, 1]

    def forward(self, x):
        def padded(x, stride):
            top, left, bottom, right = self.pads(stride)
            return F.pad(x, (left, right, top, bottom))

        x = F.relu6(self.stem(padded(x, 2)))
        for (_, _, stride), depthwise, pointwise in zip(
            self.SHAPES, self.depthwise, self.pointwise
        ):
            x = F.relu6(pointwise(F.relu6(depthwise(padded(x, stride)))))
        return self.head(x.mean((2, 3)))


def trained(model, name, epochs):
    torch.manual_seed(0)
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    images, labels = split(name, "train")
    steps = epochs * (len(images) // 64)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)
    model.train()
    for step in range(steps):
        at = torch.randint(len(images), (64,))
        loss = F.cross_entropy(model(images[at]), labels[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    images, labels = split(name, "t10k")
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).float().mean().item()
    print(f"{type(model).__name__}: {100 * right:.2f} % of {name}'s test images")
    return model


def channels_last(model, path):
    """Writes a MobileNet as tf2onnx does, which folds batch norms."""
    nodes, constants = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def convolution(name, x, module, stride, groups=1):
        module, norm = module
        factor = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
        folded = module.weight.detach() * factor.reshape(-1, 1, 1, 1)
        weight = constant(f"{name}/W", folded.numpy())
        bias = constant(f"{name}/b", (norm.bias - factor * norm.running_mean).detach().numpy())
        pads = model.pads(stride) if module.kernel_size == (3, 3) else [0, 0, 0, 0]
        return node(
            "Conv", [x, weight, bias], f"{name}/Conv2D", group=groups, pads=pads,
            strides=[stride, stride], kernel_shape=list(module.kernel_size),
        )

    low, high = constant("zero", np.float32(0)), constant("six", np.float32(6))
    x = node("Transpose", ["input_1"], "to_nchw", perm=[0, 3, 1, 2])
    x = convolution("conv1", x, model.stem, 2)
    x = node("Clip", [x, low, high], "conv1/Relu6")
    for number, (inputs, _, stride) in enumerate(model.SHAPES):
        name = f"conv_dw_{number + 1}"
        x = convolution(name, x, model.depthwise[number], stride, inputs)
        x = node("Clip", [x, low, high], f"{name}/Relu6")
        name = f"conv_pw_{number + 1}"
        x = convolution(name, x, model.pointwise[number], 1)
        x = node("Clip", [x, low, high], f"{name}/Relu6")
    x = node("Transpose", [x], "to_nhwc", perm=[0, 2, 3, 1])
    x = node("ReduceMean", [x], "global_average_pooling2d/Mean", axes=[1, 2], keepdims=0)
    weight = constant("dense/kernel", model.head.weight.detach().numpy().T)
    x = node("MatMul", [x, weight], "dense/MatMul")
    x = node("Add", [x, constant("dense/bias", model.head.bias.detach().numpy())], "dense/BiasAdd")
    node("Softmax", [x], "predictions", axis=-1)
    graph = helper.make_graph(
        nodes, "keras",
        [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, ["N", 28, 28, 1])],
        [helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["N", 10])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="tf2onnx", ir_version=7
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main():
    resnet = trained(ResNet(), "fashion-mini", 8)
    torch.onnx.export(
        resnet, torch.zeros(1, 1, 28, 28), HERE / "resnet.onnx", dynamo=False,
        input_names=["pixels"], output_names=["logits"], dynamic_axes={"pixels": {0: "n"}},
        opset_version=17,
    )
    lenet = trained(LeNet5(), "mnist-mini", 4)
    save_file({f"module.{key}": value.half() for key, value in lenet.state_dict().items()},
              HERE / "lenet5.safetensors")
    channels_last(trained(MobileNet(), "mnist-mini", 8), HERE / "mobilenet.onnx")


if __name__ == "__main__":
    main()
