"""The part of Caffe's protocol buffers that says what a network is: message classes, and how a text becomes one.

Field numbers, types and defaults are those of BVLC/caffe, src/caffe/proto/caffe.proto. Both layer formats are here:
`layer` (LayerParameter, types as strings) and the older `layers` (V1LayerParameter, types as an enum); their parameter
messages are the same. Fields that say nothing of a network's shape are left out: a parser skips what it does not know.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from harness.errors import CannotMeasure
from harness.exchange.file_bytes import read_whole
from harness.exchange.foreign import FormatError
from harness.requirements import install_command
from reports.format import clean

Message: TypeAlias = Any  # protobuf makes its classes while it runs

MOST_TEXT = 1_000_000  # bytes of a .prototxt; that of a network with 150 layers has 0.1 million
MOST_LINE = 10_000  # characters: protobuf's parser of texts takes time with the square of a line's length
MOST_LAYERS = 10_000
MOST_COUNT = 2**31 - 1  # elements of one blob: Caffe, src/caffe/blob.cpp, Blob::Reshape

# name:number:type, a star for repeated, what stands for a missing value after "="
_MESSAGES: Mapping[str, str] = {
    "BlobShape": "dim:1:int64*",
    "BlobProto": """num:1:int32=0 channels:2:int32=0 height:3:int32=0 width:4:int32=0 shape:7:BlobShape
        data:5:float* diff:6:float* double_data:8:double* double_diff:9:double*""",
    "FillerParameter": """type:1:string=constant value:2:float=0 min:3:float=0 max:4:float=1 mean:5:float=0
        std:6:float=1 sparse:7:int32=-1 variance_norm:8:VarianceNorm=FAN_IN""",
    "NetState": "phase:1:Phase=TEST level:2:int32=0 stage:3:string*",
    "NetStateRule": "phase:1:Phase min_level:2:int32 max_level:3:int32 stage:4:string* not_stage:5:string*",
    "ParamSpec": "name:1:string",
    "TransformationParameter": """scale:1:float=1 mirror:2:bool=false crop_size:3:uint32=0 mean_file:4:string
        mean_value:5:float* force_color:6:bool=false force_gray:7:bool=false""",
    # The next three held the transformation before TransformationParameter was.
    "DataParameter": "scale:2:float=1 mean_file:3:string crop_size:5:uint32=0",
    "ImageDataParameter": """scale:2:float=1 mean_file:3:string crop_size:5:uint32=0 new_height:9:uint32=0
        new_width:10:uint32=0 is_color:11:bool=true""",
    "WindowDataParameter": "scale:2:float=1 mean_file:3:string crop_size:5:uint32=0",
    "MemoryDataParameter": "channels:2:uint32 height:3:uint32 width:4:uint32",
    "DummyDataParameter": "shape:6:BlobShape* num:2:uint32* channels:3:uint32* height:4:uint32* width:5:uint32*",
    "InputParameter": "shape:1:BlobShape*",
    "ConvolutionParameter": """num_output:1:uint32 bias_term:2:bool=true pad:3:uint32* kernel_size:4:uint32*
        group:5:uint32=1 stride:6:uint32* weight_filler:7:FillerParameter bias_filler:8:FillerParameter
        pad_h:9:uint32=0 pad_w:10:uint32=0 kernel_h:11:uint32 kernel_w:12:uint32 stride_h:13:uint32 stride_w:14:uint32
        axis:16:int32=1 dilation:18:uint32*""",
    "InnerProductParameter": """num_output:1:uint32 bias_term:2:bool=true weight_filler:3:FillerParameter
        bias_filler:4:FillerParameter axis:5:int32=1 transpose:6:bool=false""",
    "PoolingParameter": """pool:1:PoolMethod=MAX kernel_size:2:uint32 stride:3:uint32=1 pad:4:uint32=0
        kernel_h:5:uint32 kernel_w:6:uint32 stride_h:7:uint32 stride_w:8:uint32 pad_h:9:uint32=0 pad_w:10:uint32=0
        global_pooling:12:bool=false round_mode:13:RoundMode=CEIL""",
    "LRNParameter": """local_size:1:uint32=5 alpha:2:float=1 beta:3:float=0.75
        norm_region:4:NormRegion=ACROSS_CHANNELS k:5:float=1""",
    "DropoutParameter": "dropout_ratio:1:float=0.5",
    "ReLUParameter": "negative_slope:1:float=0",
    "PReLUParameter": "channel_shared:2:bool=false",
    "ScaleParameter": "axis:1:int32=1 num_axes:2:int32=1 bias_term:4:bool=false",
    "ConcatParameter": "concat_dim:1:uint32=1 axis:2:int32=1",
    "FlattenParameter": "axis:1:int32=1 end_axis:2:int32=-1",
    "ReshapeParameter": "shape:1:BlobShape axis:2:int32=0 num_axes:3:int32=-1",
    "LayerParameter": """name:1:string type:2:string bottom:3:string* top:4:string* param:6:ParamSpec*
        blobs:7:BlobProto* include:8:NetStateRule* exclude:9:NetStateRule* transform_param:100:TransformationParameter
        concat_param:104:ConcatParameter convolution_param:106:ConvolutionParameter data_param:107:DataParameter
        dropout_param:108:DropoutParameter dummy_data_param:109:DummyDataParameter
        image_data_param:115:ImageDataParameter inner_product_param:117:InnerProductParameter
        lrn_param:118:LRNParameter memory_data_param:119:MemoryDataParameter pooling_param:121:PoolingParameter
        relu_param:123:ReLUParameter window_data_param:129:WindowDataParameter prelu_param:131:PReLUParameter
        reshape_param:133:ReshapeParameter flatten_param:135:FlattenParameter scale_param:142:ScaleParameter
        input_param:143:InputParameter""",
    "V0LayerParameter": "",
    "V1LayerParameter": """layer:1:V0LayerParameter bottom:2:string* top:3:string* name:4:string type:5:V1LayerType
        blobs:6:BlobProto* concat_param:9:ConcatParameter convolution_param:10:ConvolutionParameter
        data_param:11:DataParameter dropout_param:12:DropoutParameter image_data_param:15:ImageDataParameter
        inner_product_param:17:InnerProductParameter lrn_param:18:LRNParameter pooling_param:19:PoolingParameter
        window_data_param:20:WindowDataParameter memory_data_param:22:MemoryDataParameter
        dummy_data_param:26:DummyDataParameter relu_param:30:ReLUParameter include:32:NetStateRule*
        exclude:33:NetStateRule* transform_param:36:TransformationParameter param:1001:string*""",
    "NetParameter": """name:1:string layers:2:V1LayerParameter* input:3:string* input_dim:4:int32* state:6:NetState
        input_shape:8:BlobShape* layer:100:LayerParameter*""",
}  # fmt: skip

# The older format's types, with the names that the newer one gives them (src/caffe/util/upgrade_proto.cpp).
V1_TYPES: Mapping[str, str] = {
    "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DATA": "Data",
    "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise", "EXP": "Exp", "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN",
    "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence", "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "SLICE": "Slice", "TANH": "TanH",
    "WINDOW_DATA": "WindowData", "THRESHOLD": "Threshold",
}  # fmt: skip

_ENUMS: Mapping[str, str] = {
    "Phase": "TRAIN=0 TEST=1",
    "VarianceNorm": "FAN_IN=0 FAN_OUT=1 AVERAGE=2",
    "PoolMethod": "MAX=0 AVE=1 STOCHASTIC=2",
    "RoundMode": "CEIL=0 FLOOR=1",
    "NormRegion": "ACROSS_CHANNELS=0 WITHIN_CHANNEL=1",
    "V1LayerType": """NONE=0 ACCURACY=1 BNLL=2 CONCAT=3 CONVOLUTION=4 DATA=5 DROPOUT=6 EUCLIDEAN_LOSS=7 FLATTEN=8
        HDF5_DATA=9 HDF5_OUTPUT=10 IM2COL=11 IMAGE_DATA=12 INFOGAIN_LOSS=13 INNER_PRODUCT=14 LRN=15
        MULTINOMIAL_LOGISTIC_LOSS=16 POOLING=17 RELU=18 SIGMOID=19 SOFTMAX=20 SOFTMAX_LOSS=21 SPLIT=22 TANH=23
        WINDOW_DATA=24 ELTWISE=25 POWER=26 SIGMOID_CROSS_ENTROPY_LOSS=27 HINGE_LOSS=28 MEMORY_DATA=29 ARGMAX=30
        THRESHOLD=31 DUMMY_DATA=32 SLICE=33 MVN=34 ABSVAL=35 SILENCE=36 CONTRASTIVE_LOSS=37 EXP=38
        DECONVOLUTION=39""",
}  # fmt: skip


def _described(descriptor_pb2: Any) -> Any:
    """A FileDescriptorProto of the tables above. Each enum stands in a message of its own: their values share names."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for name, values in _ENUMS.items():
        enum = file.message_type.add(name=name).enum_type.add(name="Kind")
        for value in values.split():
            label, _, number = value.partition("=")
            enum.value.add(name=label, number=int(number))
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split():
            _add_field(message, field, descriptor_pb2.FieldDescriptorProto)
    return file


def _add_field(message: Any, text: str, kinds: Any) -> None:
    """One field of the tables' notation."""
    declared, _, default = text.partition("=")
    name, number, kind = declared.split(":")
    field = message.field.add(name=name, number=int(number))
    field.label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    if kind in _ENUMS:
        field.type, field.type_name = kinds.TYPE_ENUM, f".caffe.{kind}.Kind"
    elif kind in _MESSAGES:
        field.type, field.type_name = kinds.TYPE_MESSAGE, f".caffe.{kind}"
    else:
        field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    if default:
        field.default_value = default


@functools.cache
def _classes() -> dict[str, type[Message]]:
    """Message classes by name, in a pool of their own. Raises CannotMeasure where protobuf is missing."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        raise CannotMeasure(f"Caffe's files need protobuf, which is missing: {install_command('formats')}") from None
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_described(descriptor_pb2))
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in _MESSAGES
    }  # fmt: skip


def parsed(kind: str, data: bytes, where: str) -> Message:
    """A message of the class `kind` from its bytes. Raises FormatError, naming `where`, and CannotMeasure."""
    message = _classes()[kind]()
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(data)
    except DecodeError:
        raise FormatError(f"{where} is no {kind} of Caffe, or it is damaged: copy or download it again") from None
    return message


def net_of_text(path: Path) -> Message:
    """The NetParameter of a .prototxt. Unknown fields are skipped. Raises FormatError, CannotMeasure."""
    net = _classes()["NetParameter"]()
    text = read_whole(path, MOST_TEXT).decode("utf-8", errors="replace")  # comments may be in any encoding
    if max(map(len, text.split("\n"))) > MOST_LINE:
        raise FormatError(f"{str(path)!r} has a line of over {MOST_LINE:,} characters: no network definition of Caffe")
    from google.protobuf import text_format

    try:
        text_format.Parse(text, net, allow_unknown_field=True)
    except RecursionError:
        raise FormatError(f"{str(path)!r} nests its braces too deeply for a network's definition") from None
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, text_format.ParseError) as error:
        what = clean(str(error))[:200]
        raise FormatError(f"{str(path)!r} is no network definition of Caffe: {what}") from None
    return net


def blob_shape(blob: Message) -> tuple[int, ...]:
    """The shape of a BlobProto. The older four sides are the shape where one is given, as in Blob::FromProto."""
    sides = ("num", "channels", "height", "width")
    if any(blob.HasField(side) for side in sides):
        return tuple(getattr(blob, side) for side in sides)
    return tuple(blob.shape.dim)
