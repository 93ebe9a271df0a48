# make demo    train, evaluate and draw on the built-in data, in minutes on a CPU
# make demo-photos    the same on CamVid with a backbone of ImageNet; CAMVID=its folder, WEIGHTS=file of a MobileNetV2
#              (downloaded where it is not given); half an hour on one core
# make test    run the test suite without its slow tests
# make lint
# make bench   find operations that have become slower (docs/benchmarks/README.md); two quiet cores, minutes
# make faults  kill a training a hundred times, and print what was lost (docs/reliability.md)
#
# Each makes a virtual environment in .venv first. To use an existing one instead: make test VENV=/path/to/environment
# TORCH chooses the build of PyTorch: make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
BIN := $(VENV)/bin
WORK_DIR ?= work_dirs/demo
CAMVID ?= data/camvid
WEIGHTS ?= mmcls://mobilenet_v2
PHOTOS_DIR ?= work_dirs/demo_photos
PHOTOS_CONFIG := configs/non_local_mbv2_camvid.py
PHOTOS_OPTIONS := $(foreach split,train val test,$(split)_dataloader.dataset.data_root=$(CAMVID))

.PHONY: demo demo-photos test test-all lint bench faults

demo: $(BIN)/.mmseg_attn
	$(BIN)/python tools/train.py configs/non_local_r18_shapes.py --work-dir $(WORK_DIR) --overwrite
	$(BIN)/python tools/test.py configs/non_local_r18_shapes.py $(WORK_DIR)/$$(cat $(WORK_DIR)/last_checkpoint) \
		--work-dir $(WORK_DIR) --show-dir $(WORK_DIR)/pictures
	@echo "Checkpoint: $(WORK_DIR)/$$(cat $(WORK_DIR)/last_checkpoint)"

demo-photos: $(BIN)/.mmseg_attn
	$(BIN)/python tools/train.py $(PHOTOS_CONFIG) --work-dir $(PHOTOS_DIR) --overwrite \
		--cfg-options model.pretrained=$(WEIGHTS) $(PHOTOS_OPTIONS)
	checkpoint=$(PHOTOS_DIR)/$$(cat $(PHOTOS_DIR)/last_checkpoint) && \
	$(BIN)/python tools/test.py $(PHOTOS_CONFIG) $$checkpoint --work-dir $(PHOTOS_DIR) \
		--analyse $(PHOTOS_DIR)/analysis --cfg-options $(PHOTOS_OPTIONS) && \
	$(BIN)/python tools/explore_attention.py $(PHOTOS_CONFIG) $$checkpoint $$(ls $(CAMVID)/test/* | head -1) \
		--out $(PHOTOS_DIR)/pages

test: $(BIN)/.mmseg_attn
	$(BIN)/python -m pytest -n auto -m "not slow"

test-all: $(BIN)/.mmseg_attn
	$(BIN)/python -m pytest -n auto

bench: $(BIN)/.mmseg_attn
	OMP_NUM_THREADS=2 $(BIN)/python -m benchmarks.regressions

faults: $(BIN)/.mmseg_attn
	$(BIN)/python -m tests.faults.kills --kills 100

lint: $(BIN)/.mmseg_attn
	$(BIN)/ruff check .
	$(BIN)/mypy

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/.mmseg_attn: pyproject.toml | $(BIN)/python
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install $(TORCH)
	$(BIN)/python -m pip install -e ".[onedl,test]"
	touch $@
