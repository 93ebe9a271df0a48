"""Label maps from outlines: what labelme, CVAT and COCO's tools write, behind ``prepare_data labelme|coco|cvat``.

One file reads each format into an :class:`.content.Annotations`; what follows is the same for all: ``classes`` gives
numbers to the labels, ``split`` chooses the images to validate on, ``drawing`` makes a label map of the shapes,
``making`` writes the files of an image, ``bands`` reads those that are no pictures, ``writing`` writes the data set,
and ``training_config`` a config that trains on it.
"""
